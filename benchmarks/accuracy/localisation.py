"""Accuracy of localisation: nucleus against cytoplasm on RNAlight's tests, and five folds of three data sets.

`python -m benchmarks.accuracy.localisation --model MODEL --original FILE.pt --recipe RECIPE.yaml` writes
`benchmarks/results/localisation_accuracy.json` and a table beside it, `.md`.

- `test`: area under the ROC curve of the predicted share of the nucleus. The baselines learn from the very RNAs that
  the shipped checkpoint was trained and selected on, `training_tables` of `recipes.rnatracker_mini`. Intervals are
  95 % percentile bootstrap intervals over RNAs, the same resamples for all. The original's trained weights read what
  they were trained to read: 4,000 nt, padded on the left; they may have seen some of these RNAs in training.
- `rnalight`, `multilabel`, `mrnaloc`: Pearson's r of predicted and true share of each compartment, over the RNAs of a
  fold, and overall, over all shares of a fold; mean and standard deviation of five folds that keep similar RNAs
  together. A model is trained anew for each fold with the recipe, and without it the baselines stand alone.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import rna_hf
from benchmarks.common.bootstrap import interval, resample_weights
from benchmarks.common.places import RESULTS
from benchmarks.common.reporting import headline, table_lines, weights_digests, with_interval, write_report
from recipes.places import DEFAULT_DATA
from recipes.rnatracker_mini.localisation_tables import (
    COMPARTMENTS,
    FOLDS,
    VALIDATION_PART,
    hold_out,
    read_set,
    training_tables,
    with_folds,
    write_table,
)
from rna_hf.checkpoints import find_checkpoint

from .localisation_baselines import BASELINES, REFERENCE

RESULT = RESULTS / "localisation_accuracy.json"
ORIGINAL = "original weights (CeFra-seq)"
TRAINED = "RNATracker, trained on the other folds"
TESTS = {"test": "rnalight_lncrna", "mrna": "rnalight_mrna"}
TITLES = {
    "rnalight_lncrna": "RNAlight's test lncRNAs",
    "rnalight_mrna": "RNAlight's test mRNAs",
    "rnalight": "RNAlight's lncRNAs",
    "multilabel": "lncRNAs with one or more of four places",
    "mrnaloc": "mRNALoc",
}
# Places under the names of other data sets.
SAME_PLACE = {"Nuclear": "Nucleus", "Cytosol": "Cytoplasm", "Insoluble": "Insoluble cytoplasm"}
BATCH = 64_000  # nucleotides in a batch, padding included


def sequences_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the column `sequence`."""
    return [row["sequence"] for row in rows]


def labels_of(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the column `labels`, (N, C)."""
    return np.array([row["labels"] for row in rows])


def predict(folder: Path, sequences: Sequence[str], compartments: Sequence[str]) -> np.ndarray:
    """Return a checkpoint's distributions, (N, C) in the order of `compartments`; NaN for one that it doesn't have.

    Transcripts are read whole by a model that masks padding, and else as it was trained, at the tokenizer's length.
    """
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(folder)
    fixed = None if config.mask_padding else AutoTokenizer.from_pretrained(folder).model_max_length
    rows = rna_hf.predict(sequences, task="localisation", model=folder, fixed_length=fixed, batch_tokens=BATCH)
    of_place = {SAME_PLACE.get(name, name): [row[name] for row in rows] for name in config.compartments}
    return np.stack([of_place.get(name, [math.nan] * len(rows)) for name in compartments], axis=1)


def area_under_curve(scores: np.ndarray, is_positive: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve over all RNAs and over each bootstrap resample of them, (1 + RESAMPLES,).

    It is the part of pairs of a positive and a negative RNA of which the positive one has the higher score; of equal
    scores half. The same number of RNAs draws the same resamples, so differences of two predictors are paired. A
    resample without an RNA of one kind, which only a small set gives, is NaN.

    Args:
        scores: (N,).
        is_positive: (N,) booleans, of both kinds.
    """
    weights = resample_weights(len(scores))
    positive, negative = scores[is_positive, None], scores[None, ~is_positive]
    wins = (positive > negative) + 0.5 * (positive == negative)
    of_positive, of_negative = weights[:, is_positive], weights[:, ~is_positive]
    with np.errstate(invalid="ignore"):
        return ((of_positive @ wins) * of_negative).sum(1) / (of_positive.sum(1) * of_negative.sum(1))


def measure_tests(data_dir: Path, models: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """Score baselines and checkpoints on RNAlight's tests.

    Args:
        data_dir: the shared data folder.
        models: name -> folders of checkpoints, whose distributions are averaged.
    """
    tables, dropped = training_tables(data_dir)
    train = tables["train"] + tables["validation"]
    compartments = COMPARTMENTS["rnalight"]
    clusters = np.array([row["cluster"] for row in train])
    tests = {name: sequences_of(tables[name]) for name in TESTS}
    # Each baseline is fitted once, for both tests.
    both = [sequence for sequences in tests.values() for sequence in sequences]
    shares = {
        name: np.mean([predict(folder, both, compartments) for folder in folders], axis=0)
        for name, folders in models.items()
    }
    shares |= {
        name: baseline(sequences_of(train), labels_of(train), clusters, both) for name, baseline in BASELINES.items()
    }
    report: dict[str, Any] = {"training_rnas": len(train), "left_out": dropped}
    first = 0
    for name, sequences in tests.items():
        rows = slice(first, first + len(sequences))
        first = rows.stop
        is_nuclear = labels_of(tables[name])[:, 0] == 1
        areas = {who: area_under_curve(values[rows, 0], is_nuclear) for who, values in shares.items()}
        report[TESTS[name]] = {
            "rnas": len(sequences),
            "nuclear": int(is_nuclear.sum()),
            "auc": {who: interval(values) for who, values in areas.items()},
            "differences": {
                who: interval(values - areas[REFERENCE]) for who, values in areas.items() if who != REFERENCE
            },
        }
    return report


def train_fold(
    recipe: Path, train: Sequence[dict[str, Any]], fold: int, compartments: Sequence[str], work: Path
) -> Path:
    """Train a model on the other folds with `rna-hf finetune`; a tenth of their RNAs, by clusters, selects the epoch.

    Args:
        recipe: YAML of options, without files, compartments and output folder.
        train: rows of the other folds, with `cluster`.
        fold: the number of the fold that is left out.
        compartments: names, in the order of the labels.
        work: folder of the data set's tables and runs; a finished run there is taken as it is.

    Returns:
        The folder of the trained checkpoint.
    """
    from rna_hf.training.arguments import parse_options, read_options
    from rna_hf.training.finetune import SCORES_FILE, check_arguments, finetune

    output = work / f"fold_{fold}"
    if (output / SCORES_FILE).is_file():
        return output
    is_held_out = hold_out(np.unique([row["cluster"] for row in train], return_inverse=True)[1], VALIDATION_PART, fold)
    options = read_options(recipe)
    options["config"] = options.get("config", {}) | {"compartments": list(compartments)}
    options["output_dir"] = str(output)
    for name, chosen in (("train", ~is_held_out), ("validation", is_held_out)):
        path = work / f"fold_{fold}_{name}.parquet"
        write_table(path, [train[index] for index in np.flatnonzero(chosen)])
        options[f"{name}_file"] = str(path)
    arguments = parse_options(options, [], source=str(recipe))
    check_arguments(*arguments)
    finetune(*arguments)
    return output


def pearson_of_fold(shares: np.ndarray, labels: np.ndarray, compartments: Sequence[str]) -> dict[str, float]:
    """Return Pearson's r of each compartment, and `overall` of all numbers; NaN where shares are missing or constant.

    Args:
        shares: (N, C), predicted.
        labels: (N, C), true.
        compartments: the C names.
    """
    from rna_hf import evaluation

    found = evaluation.load("localisation").compute(
        predictions=shares.tolist(), references=labels.tolist(), compartments=list(compartments)
    )
    return {name: found[f"pearson_{name}"] for name in compartments} | {"overall": found["pearson"]}


def measure_folds(data_dir: Path, name: str, recipe: Path | None, original: Path | None, work: Path) -> dict[str, Any]:
    """Score what was trained on the other folds, and the original's weights, on each fold of a data set.

    Args:
        data_dir: the shared data folder.
        name: key of `COMPARTMENTS`.
        recipe: see `train_fold`; None for baselines alone.
        original: folder of the original's weights, converted, or None.
        work: see `train_fold`.
    """
    rows, compartments = with_folds(read_set(data_dir, name)), COMPARTMENTS[name]
    folds: dict[str, list[dict[str, float]]] = {}
    for fold in range(FOLDS):
        train = [row for row in rows if row["fold"] != fold]
        test = [row for row in rows if row["fold"] == fold]
        clusters = np.array([row["cluster"] for row in train])
        shares = {}
        if recipe is not None:
            folder = train_fold(recipe, train, fold, compartments, work / name)
            shares[TRAINED] = predict(folder, sequences_of(test), compartments)
        if original is not None:
            shares[ORIGINAL] = predict(original, sequences_of(test), compartments)
        for who, baseline in BASELINES.items():
            shares[who] = baseline(sequences_of(train), labels_of(train), clusters, sequences_of(test))
        for who, values in shares.items():
            folds.setdefault(who, []).append(pearson_of_fold(values, labels_of(test), compartments))
        print(json.dumps({"set": name, "fold": fold} | {who: values[-1] for who, values in folds.items()}), flush=True)
    return {"rnas": len(rows), "pearson": {who: spread(values) for who, values in folds.items()}}


def spread(folds: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean and standard deviation over folds of each number that every fold has."""
    found = {}
    for name in folds[0]:
        values = np.array([fold[name] for fold in folds])
        if np.isfinite(values).all():
            found[name] = {"mean": round(float(values.mean()), 5), "sd": round(float(values.std(ddof=1)), 5)}
    return found


def headlines(tests: Mapping[str, Any], reference: str) -> list[dict[str, Any]]:
    """Put a checkpoint's figures on both tests beside the best baseline's."""
    found = []
    for name in TESTS.values():
        areas = {who: entry["value"] for who, entry in tests[name]["auc"].items()}
        baselines = {who: areas[who] for who in BASELINES}
        found.append(headline(name, "roc_auc", "AUC nucleus against cytoplasm", areas[reference], baselines))
    return found


def markdown(report: Mapping[str, Any]) -> str:
    """Render the report's tables."""
    parts = []
    for name in TESTS.values() if "test" in report else ():
        test = report["test"][name]
        lines = [f"{TITLES[name]}, {test['nuclear']} nuclear and {test['rnas'] - test['nuclear']} cytoplasmic:", ""]
        rows = []
        for who, entry in test["auc"].items():
            difference = test["differences"].get(who)
            rows.append([who, with_interval(entry), with_interval(difference, "+.3f") if difference else ""])
        parts.append("\n".join([*lines, *table_lines(["AUC", f"minus {REFERENCE}"], rows)]))
    for name, compartments in COMPARTMENTS.items():
        if name not in report:
            continue
        columns = [*compartments, "overall"]
        lines = [f"{TITLES[name]}, {report[name]['rnas']} RNAs, Pearson r over {FOLDS} folds (standard deviation):", ""]
        rows = []
        for who, found in report[name]["pearson"].items():
            cells = [f"{found[c]['mean']:.3f} ({found[c]['sd']:.3f})" if c in found else "" for c in columns]
            rows.append([who, *cells])
        parts.append("\n".join([*lines, *table_lines(columns, rows)]))
    return "\n\n".join(parts) + "\n"


def add_to_report(path: Path, entries: Mapping[str, Any]) -> None:
    """Write entries beside those that the report has, and its tables anew."""
    report: dict[str, Any] = {"reference": None, "weights_sha256": {}, "headlines": []}
    if path.is_file():
        report |= json.loads(path.read_text(encoding="utf-8"))
    report |= entries
    write_report(report, markdown(report), path)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--model",
        nargs="+",
        default=[],
        metavar="NAME",
        help="folders or names of checkpoints, the first the one that the headlines are of; A+B: their average; "
        "without it, the baselines alone",
    )
    parser.add_argument("--original", type=Path, metavar="FILE", help="the original's weights, .pt")
    parser.add_argument("--recipe", type=Path, metavar="YAML", help="options of rna-hf finetune for a model per fold")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=("test", *COMPARTMENTS),
        default=("test", *COMPARTMENTS),
        help="what to measure again; the rest stays as it is in the output file; default: all",
    )
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the shared data folder")
    parser.add_argument(
        "--work", type=Path, default=Path(".cache/localisation_folds"), help="where folds are trained; %(default)s"
    )
    parser.add_argument("--output", type=Path, default=RESULT, metavar="FILE", help="JSON to write; the table is .md")
    arguments = parser.parse_args(argv)
    models: dict[str, list[Path]] = {}
    for name in arguments.model:
        folders = [find_checkpoint(part) for part in name.split("+")]
        models[" + ".join(folder.name for folder in folders)] = folders
    with tempfile.TemporaryDirectory() as temporary:
        original = None
        if arguments.original:
            # In a folder that doesn't stay: they have no licence to be passed on.
            original = rna_hf.convert_rnatracker(arguments.original, Path(temporary) / "original")
        if "test" in arguments.parts:
            test = measure_tests(arguments.data, models | ({ORIGINAL: [original]} if original else {}))
            reference = next(iter(models), None)
            add_to_report(
                arguments.output,
                {
                    "reference": reference,
                    "weights_sha256": weights_digests(folder for folders in models.values() for folder in folders),
                    "headlines": headlines(test, reference) if reference else [],
                    "test": test,
                },
            )
        for name in COMPARTMENTS:
            if name in arguments.parts:
                found = measure_folds(arguments.data, name, arguments.recipe, original, arguments.work)
                add_to_report(arguments.output, {name: found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
