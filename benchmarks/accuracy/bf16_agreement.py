"""How near bfloat16 comes to float32 on measured RNAs: `python -m benchmarks.accuracy.bf16_agreement`.

The bundled checkpoint predicts the same sequences in float32, loaded as bfloat16, and in float32 under autocast. The
labels of the data sets are not read. Writes `benchmarks/results/bf16_agreement.json`; exit code 1 if a correlation is
0.9995 or less or a value is not finite.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from benchmarks.common.places import RESULTS
from recipes.places import DEFAULT_DATA

RESULT = RESULTS / "bf16_agreement.json"
SOURCES = {"Ribonanza, 170 nt": "ribonanza_15k/lib15k.parquet", "natural RNAs": "chemmap_natural/natural.parquet"}
REQUIRED = 0.9995


def predict(model: Any, tokenizer: Any, sequences: Sequence[str], autocast: bool) -> list[np.ndarray]:
    """Return the logits (L, channels) of each sequence, predicted alone."""
    predictions = []
    for sequence in sequences:
        ids = torch.tensor([tokenizer(sequence)["input_ids"]])
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            predictions.append(model(input_ids=ids).logits[0].float().numpy())
    return predictions


def compare(reference: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> dict[str, Any]:
    """Compare two lists of predictions: Pearson r over all values, the lowest r of one RNA, largest difference."""
    alone = [np.corrcoef(one.ravel(), two.ravel())[0, 1] for one, two in zip(reference, other)]
    one, two = (np.concatenate([values.ravel() for values in part]) for part in (reference, other))
    return {
        "pearson": round(float(np.corrcoef(one, two)[0, 1]), 6),
        "lowest_pearson_of_one_rna": round(float(min(alone)), 6),
        "largest_difference": round(float(np.abs(one - two).max()), 4),
        "finite": bool(np.isfinite(two).all()),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Predict, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split(":")[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the data sets")
    parser.add_argument("--count", type=int, default=200, help="RNAs of each source at most; default: %(default)s")
    parser.add_argument("--longest", type=int, default=1000, help="longest RNA, nucleotides; default: %(default)s")
    arguments = parser.parse_args(argv)

    from transformers import AutoTokenizer

    from rna_hf import AutoModelForReactivity
    from rna_hf.checkpoints import find_checkpoint

    folder = find_checkpoint("ribonanzanet-mini")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    exact = AutoModelForReactivity.from_pretrained(folder).eval()
    half = AutoModelForReactivity.from_pretrained(folder, dtype=torch.bfloat16).eval()
    report: dict[str, Any] = {"checkpoint": folder.name, "torch": torch.__version__, "sources": {}}
    for name, path in SOURCES.items():
        letters = set(pq.read_table(arguments.data / path, columns=["sequence"])["sequence"].to_pylist())
        usable = sorted(s for s in letters if set(s.upper()) <= set("ACGUT") and len(s) <= arguments.longest)
        sequences = random.Random(0).sample(usable, min(arguments.count, len(usable)))
        reference = predict(exact, tokenizer, sequences, autocast=False)
        report["sources"][name] = {
            "rnas": len(sequences),
            "longest": max(map(len, sequences)),
            "loaded as bfloat16": compare(reference, predict(half, tokenizer, sequences, autocast=False)),
            "autocast": compare(reference, predict(exact, tokenizer, sequences, autocast=True)),
        }
        print(json.dumps({name: report["sources"][name]}), flush=True)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    ways = [source[way] for source in report["sources"].values() for way in ("loaded as bfloat16", "autocast")]
    return 0 if all(way["finite"] and way["pearson"] > REQUIRED for way in ways) else 1


if __name__ == "__main__":
    sys.exit(main())
