"""Turn a finished run of `localisation.yaml` into a checkpoint that ships, with the manifest of what it learnt from::

    python examples/rnatracker_mini/export_localisation.py runs/localisation \\
        --output src/rna_hf/checkpoints/rnatracker-mini
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from localisation_tables import describe_sources
from transformers import AutoTokenizer
from transformers.trainer_utils import get_last_checkpoint

from rna_hf import AutoModelForLocalisation
from rna_hf.data.splits import write_manifest
from rna_hf.hub.loader import add_loader


def main(argv: Sequence[str] | None = None) -> int:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="output folder of the run")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the checkpoint goes")
    parser.add_argument("--tables", type=Path, default=Path(".cache/tables"), help="where localisation_tables.py wrote")
    arguments = parser.parse_args(argv)
    last = get_last_checkpoint(arguments.run) if arguments.run.is_dir() else None
    if last is None:
        parser.error(f"{arguments.run} holds no checkpoint of a run")
    rows = pq.read_table(arguments.tables / "localisation_train.parquet", columns=["sequence"]).to_pylist()
    model = AutoModelForLocalisation.from_pretrained(arguments.run)
    # The run reads windows of the longer ones, but whole transcripts where it measures.
    model.config.training_max_length = max(len(row["sequence"]) for row in rows)
    model.save_pretrained(arguments.output)
    AutoTokenizer.from_pretrained(arguments.run).save_pretrained(arguments.output)
    add_loader(arguments.output)
    steps = json.loads((Path(last) / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]
    stages = [{"name": "localisation", "steps": steps}]
    write_manifest(arguments.output / "training_data.json", describe_sources(rows), stages=stages)
    print(f"wrote {arguments.output}: {len(rows)} RNAs, {steps} steps")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
