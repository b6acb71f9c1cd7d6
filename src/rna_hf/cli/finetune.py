"""`rna-hf finetune`: train a head on your own data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .system import hide_bars_of_files


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    check_recipe(argv)
    hide_bars_of_files()
    from ..registration import register
    from ..training.arguments import parse_arguments
    from ..training.finetune import check_arguments, finetune
    from ..training.folds import finetune_folds

    register()
    arguments = parse_arguments(argv)
    check_arguments(*arguments)
    _, data_arguments, _ = arguments
    if data_arguments.folds and not data_arguments.fold:
        finetune_folds(*arguments)
    else:
        finetune(*arguments)
    return 0


def check_recipe(argv: Sequence[str]) -> None:
    """Refuse a recipe that is not there, before anything heavy is loaded."""
    if argv and argv[0].endswith((".yaml", ".yml")) and not Path(argv[0]).is_file():
        raise FileNotFoundError(f"{argv[0]} does not exist")
