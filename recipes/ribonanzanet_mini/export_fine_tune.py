"""Turn a finished `rna-hf finetune` run into a checkpoint that ships, with the manifest of what it learnt from::

    python -m recipes.ribonanzanet_mini.export_fine_tune structure runs/structure \\
        --output src/rna_hf/checkpoints/ribonanzanet-mini-structure
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from transformers import AutoTokenizer

from rna_hf.data.splits import write_manifest
from rna_hf.hub.loader import add_loader
from rna_hf.tasks import TASKS
from rna_hf.training.run_record import RECORD_FILE, kept_step
from rna_hf.training.training_range import describe_range

from .task_tables import TABLES, describe_sources


def main(argv: Sequence[str] | None = None) -> int:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=list(TABLES))
    parser.add_argument("run", type=Path, help="output folder of the run")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the checkpoint goes")
    parser.add_argument("--tables", type=Path, default=Path(".cache/tables"), help="where task_tables.py wrote")
    parser.add_argument(
        "--max-length", type=int, help="longest RNA that the run trained on, if it left out longer ones"
    )
    parser.add_argument("--crop", type=int, help="nucleotides to which the run cut longer RNAs, if it did")
    parser.add_argument("--pair-threshold", type=float, help="for structures: probability that a base pair needs")
    parser.add_argument("--pair-weight", type=float, help="for structures: how much pairs count in decoding")
    arguments = parser.parse_args(argv)
    stage = {"name": arguments.task, "steps": kept_step(arguments.run)}
    model = TASKS[arguments.task].auto_class().from_pretrained(arguments.run)
    rows = pq.read_table(arguments.tables / f"{arguments.task}_train.parquet").to_pylist()
    rows = [row for row in rows if len(row["sequence"]) <= (arguments.max_length or np.inf)]
    labels = [row["labels"] for row in rows] if "labels" in rows[0] else None
    model.config.update(describe_range([row["sequence"] for row in rows], labels, arguments.crop or 0))
    for name in ("pair_threshold", "pair_weight"):
        if getattr(arguments, name) is not None:
            setattr(model.config, name, getattr(arguments, name))
    model.save_pretrained(arguments.output)
    AutoTokenizer.from_pretrained(arguments.run).save_pretrained(arguments.output)
    add_loader(arguments.output)
    write_manifest(
        arguments.output / "training_data.json",
        describe_sources(arguments.task, rows),
        started_from=json.loads((arguments.run / RECORD_FILE).read_text(encoding="utf-8"))["model"]["name"],
        max_length=arguments.max_length,
        stages=[stage],
    )
    print(f"wrote {arguments.output}: {len(rows)} RNAs, {stage['steps']} steps")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
