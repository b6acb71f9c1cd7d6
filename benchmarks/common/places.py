"""Where benchmarks read and write."""

from recipes.places import REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results"
TABLES = REPOSITORY / ".cache" / "tables"  # of the recipes
VIENNA = REPOSITORY / ".cache" / "vienna"  # what was folded before
