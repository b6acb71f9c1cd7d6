"""Accuracy of a degradation checkpoint on OpenVaccine's public test, beside three baselines.

`python -m benchmarks.accuracy.degradation --model MODEL` writes `benchmarks/results/degradation_accuracy.json` and a
table beside it, `.md`. Intervals are 95 % percentile bootstrap intervals over RNAs, the same resamples for all.

The model reads the sequence alone. The baselines learn from the same profiles and read letter, predicted structure and
predicted loop type, which the data set brings: the mean of each combination, a ridge regression on a window of 6
nucleotides either side, and gradient-boosted trees on the same window.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.bootstrap import interval, resample_weights
from benchmarks.common.places import RESULTS
from benchmarks.common.reporting import headline, table_lines, weights_digest, with_interval, write_report
from recipes.places import DEFAULT_DATA
from recipes.ribonanzanet_mini.shared_data import (
    FILES,
    TEST_FILES,
    find_near_tests,
    load_test_sequences,
    read_columns,
)
from rna_hf.checkpoints import find_checkpoint

RESULT = RESULTS / "degradation_accuracy.json"
TARGETS = ("reactivity", "deg_Mg_pH10", "deg_pH10", "deg_Mg_50C", "deg_50C")
SCORED = ("reactivity", "deg_Mg_pH10", "deg_Mg_50C")
WINDOW = 6
SYMBOLS = ("ACGU", "(.)", "SMIBHEX")


def load(data_dir: Path, file: str) -> list[dict[str, Any]]:
    """Read RNAs with `sequence`, `structure`, `predicted_loop_type` and `labels` (scored nucleotides, 5)."""
    names = ["sequence", "structure", "predicted_loop_type"]
    columns = read_columns(data_dir, file, [*names, *TARGETS])
    return [
        {name: columns[name][row] for name in names}
        | {"labels": np.stack([columns[target][row] for target in TARGETS], axis=1)}
        for row in range(len(columns["sequence"]))
    ]


def codes(rna: dict[str, Any]) -> np.ndarray:
    """Return letter, structure and loop type of each nucleotide as numbers, (L, 3)."""
    texts = (rna["sequence"], rna["structure"], rna["predicted_loop_type"])
    return np.array([[symbols.index(symbol) for symbol in text] for text, symbols in zip(texts, SYMBOLS)]).T


def window_features(rna: dict[str, Any]) -> np.ndarray:
    """Return one-hot codes of the window around each scored nucleotide, (scored, features); zeros past the ends."""
    one_hot = np.concatenate(
        [np.eye(len(symbols), dtype=np.float32)[column] for symbols, column in zip(SYMBOLS, codes(rna).T)], axis=1
    )
    padded = np.pad(one_hot, ((WINDOW, WINDOW), (0, 0)))
    scored = len(rna["labels"])
    return np.concatenate([padded[shift : shift + scored] for shift in range(2 * WINDOW + 1)], axis=1)


def baseline_predictions(train: list[dict[str, Any]], test: list[dict[str, Any]]) -> dict[str, list[np.ndarray]]:
    """Fit the baselines and return what each predicts for the scored nucleotides of each test RNA."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import Ridge

    labels = np.concatenate([rna["labels"] for rna in train])
    kinds = [codes(rna)[: len(rna["labels"])] @ (1, 4, 12) for rna in (*train, *test)]
    of_train = np.concatenate(kinds[: len(train)])
    overall = labels.mean(0)
    means = {kind: labels[of_train == kind].mean(0) for kind in np.unique(of_train)}
    found = {
        "mean of letter, structure and loop": [
            np.stack([means.get(kind, overall) for kind in row]) for row in kinds[len(train) :]
        ]
    }

    features = np.concatenate([window_features(rna) for rna in train])
    of_test = [window_features(rna) for rna in test]
    ridge = Ridge(alpha=1.0).fit(features, labels)
    found["ridge on a window"] = [ridge.predict(part) for part in of_test]
    trees = [
        HistGradientBoostingRegressor(max_iter=300, random_state=0).fit(features, labels[:, target])
        for target in range(len(TARGETS))
    ]
    found["trees on a window"] = [np.stack([tree.predict(part) for tree in trees], axis=1) for part in of_test]
    return found


def model_predictions(folder: Path, test: list[dict[str, Any]]) -> list[np.ndarray]:
    """Return what a checkpoint predicts for the scored nucleotides of each test RNA, from its sequence."""
    import torch
    from transformers import AutoTokenizer

    from rna_hf import AutoModelForDegradation

    model = AutoModelForDegradation.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    order = [model.config.degradation_targets.index(target) for target in TARGETS]
    predictions = []
    for rna in test:
        with torch.inference_mode():
            logits = model(**tokenizer(rna["sequence"], return_tensors="pt")).logits[0]
        predictions.append(logits[: len(rna["labels"]), order].numpy())
    return predictions


def score(predictions: Sequence[np.ndarray], test: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return each metric over all RNAs and over each bootstrap resample of them, (1 + RESAMPLES,).

    Everything follows from sums over an RNA's nucleotides, so a resample only weights the RNAs.
    """
    sums = []
    for predicted, rna in zip(predictions, test):
        x, y = predicted.astype(np.float64), rna["labels"].astype(np.float64)
        sums.append([np.ones_like(x).sum(0), x.sum(0), y.sum(0), (x * x).sum(0), (y * y).sum(0), (x * y).sum(0)])
    count, x, y, xx, yy, xy = np.einsum("wr,rst->swt", resample_weights(len(test)), np.array(sums))
    errors = np.sqrt(np.maximum(xx + yy - 2 * xy, 0) / count)
    pearson = (xy - x * y / count) / np.sqrt((xx - x * x / count) * (yy - y * y / count))
    result = {"mcrmse": errors[:, [TARGETS.index(target) for target in SCORED]].mean(1)}
    result |= {f"rmse_{target}": errors[:, index] for index, target in enumerate(TARGETS)}
    return result | {f"pearson_{target}": pearson[:, index] for index, target in enumerate(TARGETS)}


def markdown(report: dict[str, Any]) -> str:
    """Render the report's tables."""
    metrics = ["mcrmse", *(f"pearson_{target}" for target in TARGETS)]
    heads = ["MCRMSE", *(f"Pearson r {target}" for target in TARGETS)]
    lines = [f"OpenVaccine public test, {report['rnas']} RNAs of 107 nt, the first 68 nt of each:", ""]
    rows = [[name, *(with_interval(entry[key]) for key in metrics)] for name, entry in report["metrics"].items()]
    for name, entry in report["differences"].items():
        cells = [with_interval(entry[key], "+.3f") for key in metrics]
        rows.append([f"{report['reference']} minus {name}", *cells])
    return "\n".join([*lines, *table_lines(heads, rows)]) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder or name of a checkpoint; without it, the baselines alone")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the shared data folder")
    parser.add_argument("--output", type=Path, default=RESULT, metavar="FILE", help="JSON to write; the table is .md")
    arguments = parser.parse_args(argv)
    train = load(arguments.data, FILES["openvaccine"][0])
    near = find_near_tests([rna["sequence"] for rna in train], load_test_sequences(arguments.data), {})
    train = [rna for rna, is_near in zip(train, near) if not is_near]
    test = load(arguments.data, TEST_FILES["openvaccine_public"])
    predictions = baseline_predictions(train, test)
    report: dict[str, Any] = {"reference": None, "weights_sha256": {}, "training_rnas": len(train), "rnas": len(test)}
    if arguments.model:
        folder = find_checkpoint(arguments.model)
        predictions = {folder.name: model_predictions(folder, test)} | predictions
        report["reference"] = folder.name
        report["weights_sha256"][folder.name] = weights_digest(folder)
    values = {name: score(predicted, test) for name, predicted in predictions.items()}
    report["metrics"] = {name: {key: interval(v) for key, v in entry.items()} for name, entry in values.items()}
    own = values.get(report["reference"], {})
    report["differences"] = {
        name: {key: interval(own[key] - v) for key, v in entry.items()}
        for name, entry in values.items()
        if own and name != report["reference"]
    }
    report["headlines"] = []
    if own:
        errors = {name: entry["mcrmse"]["value"] for name, entry in report["metrics"].items()}
        value = errors.pop(report["reference"])
        report["headlines"].append(headline("openvaccine_public", "mcrmse", "MCRMSE", value, errors, is_error=True))
    write_report(report, markdown(report), arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
