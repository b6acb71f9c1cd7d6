"""Turn a finished run of `localisation.yaml` into a checkpoint that ships, with the manifest of what it learnt from::

    python -m recipes.rnatracker_mini.export_localisation runs/localisation \\
        --output src/rna_hf/checkpoints/rnatracker-mini
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from transformers import AutoTokenizer

from rna_hf import AutoModelForLocalisation
from rna_hf.data.splits import write_manifest
from rna_hf.hub.loader import add_loader
from rna_hf.training.run_record import kept_step
from rna_hf.training.training_range import describe_range

from .localisation_tables import describe_sources


def main(argv: Sequence[str] | None = None) -> int:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="output folder of the run")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the checkpoint goes")
    parser.add_argument("--tables", type=Path, default=Path(".cache/tables"), help="where localisation_tables.py wrote")
    arguments = parser.parse_args(argv)
    steps = kept_step(arguments.run)
    rows, chosen_by = (
        pq.read_table(arguments.tables / f"localisation_{name}.parquet", columns=["sequence"]).to_pylist()
        for name in ("train", "validation")
    )
    model = AutoModelForLocalisation.from_pretrained(arguments.run)
    model.config.update(describe_range([row["sequence"] for row in rows]))
    # It learnt from windows of the longer ones, but whole transcripts chose it.
    model.config.training_max_length = max(len(row["sequence"]) for row in chosen_by)
    model.save_pretrained(arguments.output)
    AutoTokenizer.from_pretrained(arguments.run).save_pretrained(arguments.output)
    add_loader(arguments.output)
    stages = [{"name": "localisation", "steps": steps}]
    write_manifest(arguments.output / "training_data.json", describe_sources(rows), stages=stages)
    print(f"wrote {arguments.output}: {len(rows)} RNAs, {steps} steps")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
