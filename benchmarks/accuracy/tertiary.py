"""Accuracy of predicted C1' traces beside three baselines, in one command::

    python -m recipes.ribonanzanet_mini.task_tables structure 3d
    python -m benchmarks.accuracy.tertiary --model MODEL

It writes `benchmarks/results/tertiary_accuracy.json` and a table beside it, `.md`. Two sets and their longer RNAs:

- casp15: the nine RNAs of CASP15, each against all its reference conformations, of which the best counts;
- validation: chains of clusters that the training chains of `task_tables.py` share nothing with. A checkpoint may have
  been chosen by them, but not trained on them.

No RNA of either is similar to a training chain, but some are to an RNA whose secondary structure the model may have
learnt before; these are marked, and counted by test set.

Scores are the TM-score of RNA (0 to 1), the RMSD after superposition (angstrom) and lDDT (0 to 1), each for the first
sample and for the best of all samples by that score. A straight helix is one sample for every RNA. Intervals are 95 %
percentile bootstrap intervals over RNAs; those of a difference use the same resamples for both sides. The baselines
learn from the training chains; see `tertiary_baselines.py`.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.bootstrap import SETTINGS, mean_interval
from benchmarks.common.places import RESULTS, TABLES
from benchmarks.common.reporting import headline, table_lines, weights_digests, with_interval, write_report
from benchmarks.common.task_tables import find_similar, read_rows
from benchmarks.common.vienna import require_vienna
from rna_hf import evaluation
from rna_hf.checkpoints import find_checkpoint

from . import tertiary_baselines as baselines

OUTPUT = RESULTS / "tertiary_accuracy.json"
# Of each test set, the least length of the RNAs that count, in nucleotides.
SUBSETS = {"casp15": (1, 60), "validation": (20, 60)}
# Whether more is better.
METRICS = {"tm_score": True, "rmsd": False, "lddt": True}
METRIC_NAMES = {"tm_score": "TM-score", "rmsd": "RMSD (Å)", "lddt": "lDDT"}
PICKS = ("first", "best")


def read_chains(path: Path) -> list[dict[str, Any]]:
    """Read a table of `task_tables.py`.

    Args:
        path: parquet with `id`, `sequence`, and `coordinates` (L, 3) or, for several references, `conformations`
            (C, L, 3); angstrom, NaN where missing.

    Returns:
        Rows with `id`, `sequence` and `natives` (C, L, 3).
    """
    rows = []
    for row in read_rows(path):
        natives = np.array(row["conformations"] if "conformations" in row else [row["coordinates"]], dtype=np.float64)
        rows.append({"id": row["id"], "sequence": row["sequence"], "natives": natives})
    return rows


def find_known_structures(rows: Sequence[Mapping[str, Any]], table: Path) -> list[bool]:
    """Tell for each RNA whether it is similar to one of the training table of secondary structures."""
    known = [row["sequence"] for row in read_rows(table, ["sequence"])]
    similar = find_similar(known, [row["sequence"] for row in rows])
    return [index in similar for index in range(len(rows))]


def model_sampler(folder: Path, num_samples: int, seed: int = 0) -> baselines.Sampler:
    """Open a checkpoint; every sequence is predicted alone.

    Args:
        folder: the checkpoint.
        num_samples: of each sequence.
        seed: of the samples.

    Returns:
        Makes (samples, L, 3) for a sequence.
    """
    import torch
    from transformers import AutoTokenizer

    from rna_hf import AutoModelForTertiaryStructure

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForTertiaryStructure.from_pretrained(folder).eval()

    def sample(sequence: str) -> np.ndarray:
        inputs = tokenizer(sequence, return_tensors="pt")
        with torch.inference_mode():
            traces = model.sample_coordinates(inputs["input_ids"], num_samples=num_samples, seed=seed)
        return traces[0].double().cpu().numpy()

    return sample


@functools.cache
def _metric() -> Any:
    return evaluation.load("tertiary_structure")


def score(samples: np.ndarray, natives: np.ndarray) -> dict[str, dict[str, float]]:
    """Score the samples of an RNA, each against the reference that suits it best.

    Args:
        samples: (S, L, 3), angstrom; complete.
        natives: (C, L, 3), angstrom; NaN where missing.

    Returns:
        For each of `METRICS` the score of the `first` sample and of the `best`.
    """
    pairs = [(sample.tolist(), native.tolist()) for sample in samples for native in natives]
    found, references = (list(part) for part in zip(*pairs))
    scores = _metric().compute(predictions=found, references=references, each=True)
    result = {}
    for metric, more_is_better in METRICS.items():
        better = np.max if more_is_better else np.min
        values = better(np.reshape(scores[metric], (len(samples), len(natives))), axis=1)
        result[metric] = {"first": float(values[0]), "best": float(better(values))}
    return result


def score_all(
    predictors: Mapping[str, baselines.Sampler], rows: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return the scores of every RNA, by its id and the predictor's name."""
    result: dict[str, dict[str, dict[str, dict[str, float]]]] = {row["id"]: {} for row in rows}
    for name, sample in predictors.items():
        start = time.monotonic()
        for row in rows:
            result[row["id"]][name] = score(sample(row["sequence"]), row["natives"])
        print(f"{name}: {len(rows)} RNAs in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return result


def summarise(
    scores: Sequence[Mapping[str, Mapping[str, Mapping[str, float]]]], reference: str | None
) -> dict[str, Any]:
    """Average over RNAs, with intervals.

    Args:
        scores: for each RNA the scores of each predictor.
        reference: the predictor whose difference (reference minus other) to the others is reported; None for none.

    Returns:
        `rnas`, `metrics[predictor][metric][pick]` and, with a reference, `differences[other][metric][pick]`; each of
        these with `value`, `low`, `high`.
    """

    def values(name: str, metric: str, pick: str) -> np.ndarray:
        return np.array([of_rna[name][metric][pick] for of_rna in scores])

    names = list(scores[0])
    result: dict[str, Any] = {"rnas": len(scores)}
    result["metrics"] = {
        name: {metric: {pick: mean_interval(values(name, metric, pick)) for pick in PICKS} for metric in METRICS}
        for name in names
    }
    if reference is not None:
        result["differences"] = {
            name: {
                metric: {
                    pick: mean_interval(values(reference, metric, pick) - values(name, metric, pick)) for pick in PICKS
                }
                for metric in METRICS
            }
            for name in names
            if name != reference
        }
    return result


def markdown(report: Mapping[str, Any]) -> str:
    """Render the report's tables."""

    def cells(entry: Mapping[str, Any], sign: str = "") -> list[str]:
        forms = {metric: f"{sign}.{1 if metric == 'rmsd' else 3}f" for metric in METRICS}
        return [with_interval(entry[metric][pick], form) for metric, form in forms.items() for pick in PICKS]

    heads = [f"{METRIC_NAMES[metric]}, {pick}" for metric in METRICS for pick in PICKS]
    lines = [f"Means over RNAs; `best` is the best of {report['settings']['samples']} samples by that score.", ""]
    for name, entry in report["tests"].items():
        known = f"{entry['known_structure']} similar to one of known secondary structure in training"
        rows = [[predictor, *cells(values)] for predictor, values in entry["metrics"].items()]
        rows += [
            [f"{report['reference']} minus {other}", *cells(values, "+")]
            for other, values in entry.get("differences", {}).items()
        ]
        lines += [f"### {name} ({entry['rnas']} RNAs, {known})", "", *table_lines(heads, rows), ""]
    predictors = list(next(iter(report["rnas"].values()))["scores"])
    lines += ["### TM-score of each RNA, best sample", ""]
    lines += ["An asterisk marks those similar to an RNA of known secondary structure in training.", ""]
    rows = []
    for identifier, entry in report["rnas"].items():
        values = [f"{entry['scores'][name]['tm_score']['best']:.3f}" for name in predictors]
        rows.append([identifier + ("*" if entry["known_structure"] else ""), str(entry["length"]), *values])
    return "\n".join([*lines, *table_lines(["nt", *predictors], rows)]) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="Accuracy of predicted C1' traces beside three baselines.")
    parser.add_argument("--model", action="append", default=[], help="folder or name of a checkpoint; may be repeated")
    parser.add_argument("--samples", type=int, default=5, metavar="N", help="of each RNA; default: %(default)s")
    parser.add_argument("--tables", type=Path, default=TABLES, metavar="DIR", help="where task_tables.py wrote")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N RNAs of each set")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help="JSON to write; the table is .md")
    arguments = parser.parse_args(argv)
    require_vienna(parser)
    if arguments.samples < 1 or (arguments.limit is not None and arguments.limit < 1):
        parser.error("--samples and --limit are 1 or more")
    folders = [find_checkpoint(name) for name in arguments.model]
    if len({folder.name for folder in folders}) < len(folders):
        parser.error("two checkpoints have the same name; rename the folder of one")

    train = [row for row in read_chains(arguments.tables / "3d_train.parquet") if len(row["sequence"]) >= 20]
    sequences, chains = [row["sequence"] for row in train], [row["natives"][0] for row in train]
    predictors = {folder.name: model_sampler(folder, arguments.samples) for folder in folders}
    predictors |= {
        "helices of ViennaRNA in space": baselines.fit_helix_assembly(sequences, chains, arguments.samples),
        "straight A-form helix": baselines.straight_helix,
        "random chain": baselines.fit_random_chain(chains, arguments.samples),
    }
    reference = folders[0].name if folders else None
    report: dict[str, Any] = {
        "reference": reference,
        "weights_sha256": weights_digests(folders),
        "settings": {
            "samples": arguments.samples,
            "limit": arguments.limit,
            "training_chains": len(train),
            "bootstrap": SETTINGS,
        },
        "tests": {},
        "rnas": {},
        "headlines": [],
    }
    for test, file in (("casp15", "3d_test.parquet"), ("validation", "3d_validation.parquet")):
        rows = [row for row in read_chains(arguments.tables / file) if len(row["sequence"]) >= SUBSETS[test][0]]
        rows = rows[: arguments.limit]
        is_known = find_known_structures(rows, arguments.tables / "structure_train.parquet")
        scores = score_all(predictors, rows)
        for least in SUBSETS[test]:
            chosen = [index for index, row in enumerate(rows) if len(row["sequence"]) >= least]
            if chosen:
                name = test if least == 1 else f"{test}, {least} nt and more"
                counts = {"known_structure": sum(is_known[index] for index in chosen)}
                report["tests"][name] = counts | summarise([scores[rows[index]["id"]] for index in chosen], reference)
        report["rnas"] |= {
            row["id"]: {
                "test": test,
                "length": len(row["sequence"]),
                "known_structure": known,
                "scores": scores[row["id"]],
            }
            for row, known in zip(rows, is_known)
        }
    if reference:
        for test in ("casp15, 60 nt and more", "validation, 60 nt and more"):
            entries = report["tests"].get(test, {}).get("metrics")
            if entries:
                scores = {name: entry["tm_score"]["best"]["value"] for name, entry in entries.items()}
                name = f"TM-score, best of {arguments.samples}"
                report["headlines"].append(headline(test, "tm_score", name, scores.pop(reference), scores))
    write_report(report, markdown(report), arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
