"""Whether a degradation checkpoint ranks whole mRNAs by how fast they decay, far beyond the lengths of its training.

`python -m benchmarks.accuracy.mrna_decay --model MODEL` writes `benchmarks/results/mrna_decay.json` and a table, `.md`.
The mRNAs are those of the OpenVaccine project with a measured rate of decay, 504 to 1,588 nt; training RNAs have
107. A score sums over the nucleotides between the two ends of the measurement (RT-PCR), where one cut is enough. Beside
the model's rate of degradation stand the number of these nucleotides, and ViennaRNA's number of unpaired ones.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.bootstrap import RESAMPLES
from benchmarks.common.places import RESULTS
from benchmarks.common.reporting import table_lines, weights_digests, with_interval, write_report
from benchmarks.common.vienna import unpaired_probabilities
from recipes.places import DEFAULT_DATA
from rna_hf.checkpoints import find_checkpoint

RESULT = RESULTS / "mrna_decay.json"
FILE = "openvaccine/mrna_233x_kdeg.csv.gz"
# The rate that fits the conditions of the measurement best: magnesium, pH 10, 24 degrees Celsius.
TARGET = "deg_Mg_pH10"
SMALLEST_GROUP = 20


def load(data_dir: Path) -> list[dict[str, Any]]:
    """Read the mRNAs whose decay was measured and is exponential: `sequence`, `group`, `rate` an hour, `window`."""
    with gzip.open(data_dir / FILE, "rt", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["k_deg_per_hour"] and row["single_exp_fit_ok"] == "1"]
    return [
        {
            "sequence": row["RNA_sequence"],
            "group": row["Expt type"],
            "rate": float(row["k_deg_per_hour"]),
            "window": slice(int(float(row["RT_PCR_start_pos"])), int(row["RT_PCR_end_pos"])),
        }
        for row in rows
    ]


def degradation(folder: Path, sequences: Sequence[str]) -> list[np.ndarray]:
    """Return a checkpoint's rate of degradation of each nucleotide, (L,) for each mRNA."""
    import torch
    from transformers import AutoTokenizer

    from rna_hf import AutoModelForDegradation

    model = AutoModelForDegradation.from_pretrained(folder, dtype=torch.bfloat16).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    channel = model.config.degradation_targets.index(TARGET)
    rates = []
    for number, sequence in enumerate(sequences, 1):
        with torch.inference_mode():
            rates.append(model(**tokenizer(sequence, return_tensors="pt")).logits[0, :, channel].float().numpy())
        if number % 20 == 0:
            print(f"{number} of {len(sequences)} mRNAs", file=sys.stderr, flush=True)
    return rates


def rank_correlation(scores: np.ndarray, rates: np.ndarray) -> dict[str, float]:
    """Return Spearman's correlation and the 95 % percentile interval from resamples of the mRNAs."""
    from scipy.stats import spearmanr

    generator = np.random.default_rng(0)
    draws = [generator.integers(len(rates), size=len(rates)) for _ in range(RESAMPLES)]
    low, high = np.percentile([spearmanr(scores[draw], rates[draw])[0] for draw in draws], [2.5, 97.5])
    return {
        name: round(float(v), 4) for name, v in zip(("value", "low", "high"), (spearmanr(scores, rates)[0], low, high))
    }


def markdown(report: dict[str, Any]) -> str:
    """Render the report's table."""
    groups = list(report["groups"])
    lines = ["Spearman's correlation with the measured rate of decay (95 % bootstrap interval):", ""]
    heads = [f"{name}, {count} mRNAs" for name, count in report["groups"].items()]
    rows = [[name, *(with_interval(entry[group]) for group in groups)] for name, entry in report["spearman"].items()]
    return "\n".join([*lines, *table_lines(heads, rows)]) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="ribonanzanet-mini-degradation", help="folder or name of a checkpoint")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the shared data folder")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N mRNAs alone, for a quick look")
    parser.add_argument("--output", type=Path, default=RESULT, metavar="FILE", help="JSON to write; the table is .md")
    arguments = parser.parse_args(argv)
    mrnas = load(arguments.data)[: arguments.limit]
    folder = find_checkpoint(arguments.model)
    profiles = {
        folder.name: degradation(folder, [mrna["sequence"] for mrna in mrnas]),
        "unpaired nucleotides (ViennaRNA)": [unpaired_probabilities(mrna["sequence"]) for mrna in mrnas],
        "nucleotides": [np.ones(len(mrna["sequence"])) for mrna in mrnas],
    }
    rates = np.array([mrna["rate"] for mrna in mrnas])
    kinds = np.array([mrna["group"] for mrna in mrnas])
    names, counts = np.unique(kinds, return_counts=True)
    members = {"all": np.full(len(mrnas), True)}
    members |= {str(name): kinds == name for name, count in zip(names, counts) if count >= SMALLEST_GROUP}
    report: dict[str, Any] = {
        "reference": folder.name,
        "weights_sha256": weights_digests([folder]),
        "groups": {name: int(chosen.sum()) for name, chosen in members.items()},
        "spearman": {},
    }
    for name, profile in profiles.items():
        scores = np.array([values[mrna["window"]].sum() for values, mrna in zip(profile, mrnas)])
        report["spearman"][name] = {
            group: rank_correlation(scores[chosen], rates[chosen]) for group, chosen in members.items()
        }
    write_report(report, markdown(report), arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
