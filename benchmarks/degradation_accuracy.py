"""Accuracy of a degradation checkpoint on OpenVaccine's public test, beside three baselines.

`python benchmarks/degradation_accuracy.py --model FOLDER` prints a table and writes
`benchmarks/results/degradation_accuracy.json`. The model reads the sequence alone. The baselines learn from the same
profiles and read letter, predicted structure and predicted loop type, which the data set brings: the mean of each
combination, a ridge regression on a window of 6 nucleotides either side, and gradient-boosted trees on the same window.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "examples" / "ribonanzanet_mini"))
from shared_data import (  # noqa: E402
    DEFAULT_DATA,
    FILES,
    TEST_FILES,
    find_near_tests,
    load_test_sequences,
    read_columns,
)

RESULT = REPOSITORY / "benchmarks" / "results" / "degradation_accuracy.json"
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
    found = {"mean": [np.stack([means.get(kind, overall) for kind in row]) for row in kinds[len(train) :]]}

    features = np.concatenate([window_features(rna) for rna in train])
    of_test = [window_features(rna) for rna in test]
    ridge = Ridge(alpha=1.0).fit(features, labels)
    found["ridge"] = [ridge.predict(part) for part in of_test]
    trees = [
        HistGradientBoostingRegressor(max_iter=300, random_state=0).fit(features, labels[:, target])
        for target in range(len(TARGETS))
    ]
    found["trees"] = [np.stack([tree.predict(part) for tree in trees], axis=1) for part in of_test]
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


def score(predictions: Sequence[np.ndarray], test: list[dict[str, Any]], rows: np.ndarray) -> dict[str, float]:
    """Return MCRMSE over the scored targets and Pearson r of each target, over the RNAs with these row numbers."""
    predicted = np.concatenate([predictions[row] for row in rows]).astype(np.float64)
    measured = np.concatenate([test[row]["labels"] for row in rows]).astype(np.float64)
    errors = dict(zip(TARGETS, np.sqrt(((predicted - measured) ** 2).mean(0))))
    result = {"mcrmse": float(np.mean([errors[target] for target in SCORED]))}
    for index, target in enumerate(TARGETS):
        result[f"pearson_{target}"] = float(np.corrcoef(predicted[:, index], measured[:, index])[0, 1])
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a checkpoint folder; without it, the baselines alone")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the shared data folder")
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap over RNAs; default: %(default)s")
    arguments = parser.parse_args(argv)
    train = load(arguments.data, FILES["openvaccine"][0])
    near = find_near_tests([rna["sequence"] for rna in train], load_test_sequences(arguments.data), {})
    train = [rna for rna, is_near in zip(train, near) if not is_near]
    test = load(arguments.data, TEST_FILES["openvaccine_public"])
    predictions = baseline_predictions(train, test)
    if arguments.model:
        predictions = {"model": model_predictions(arguments.model, test)} | predictions
    everything = np.arange(len(test))
    generator = np.random.default_rng(0)
    samples = [generator.integers(len(test), size=len(test)) for _ in range(arguments.resamples)]
    report: dict[str, Any] = {"train": len(train), "test": len(test), "scores": {}}
    for name, values in predictions.items():
        resampled = [score(values, test, sample)["mcrmse"] for sample in samples]
        low, high = np.percentile(resampled, [2.5, 97.5])
        report["scores"][name] = score(values, test, everything) | {"mcrmse_low": low, "mcrmse_high": high}
        print(name, {key: round(float(value), 4) for key, value in report["scores"][name].items()}, flush=True)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
