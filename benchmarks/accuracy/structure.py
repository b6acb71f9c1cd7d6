"""Accuracy of predicted base pairs beside ViennaRNA, in one command::

    python -m recipes.ribonanzanet_mini.task_tables structure
    python -m benchmarks.accuracy.structure --model MODEL

It writes `benchmarks/results/structure_accuracy.json` and a table beside it, `.md`. Of each test set only RNAs count
that are similar to no RNA of fine-tuning (see `rna_hf.data.cluster_split`) and no longer than 500 nt; the others are
counted.

- bprna: the test split of bpRNA;
- archiveii: ArchiveII, whole (or as many of each family as `--family-limit` says), without `HIDDEN_FAMILIES`, of which
  fine-tuning holds members, and by family, each with the number of RNAs of fine-tuning that resemble the family more
  than any other in words, and of those that have its shape and length (see `structure_families.py`). `--held-out
  FAMILY=MODEL` takes another checkpoint for a family, fine-tuned without it; the headline is of `--model` alone. The
  model that fine-tuning starts from has
  learnt from known structures too, of these families among others, none of them nearly identical to a test RNA;
- pdb: base pairs of structures in the PDB, of any kind, and those of AU, GC and GU alone. A nucleotide may be in
  several.

Precision, recall, F1 and Matthews' correlation are means over RNAs, and pooled over all pairs of the set; shifted ones
allow one end of a pair to be off by one nucleotide. Intervals are 95 % percentile bootstrap intervals over RNAs; those
of a difference use the same resamples for both sides. Pseudoknots: of the pairs that cross another pair of the
reference, the share found, of which a method without pseudoknots can find one side at most.

Decoding options should be chosen on RNAs that are in no test set: `--validation TABLE` prints the F1 for several and
writes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from transformers import AutoConfig

from benchmarks.common.bootstrap import SETTINGS, mean_interval
from benchmarks.common.places import RESULTS, TABLES
from benchmarks.common.reporting import headline, table_lines, weights_digests, with_interval, write_report
from benchmarks.common.structure_sets import KnownRna, Pairs, canonical, read_archiveii, read_pdb, read_table
from benchmarks.common.task_tables import find_similar
from benchmarks.common.vienna import METHODS, ViennaStructures, require_vienna
from recipes.places import DEFAULT_DATA
from recipes.ribonanzanet_mini.structure_families import closest_families, find_alike
from recipes.ribonanzanet_mini.task_tables import HIDDEN_FAMILIES
from rna_hf.checkpoints import find_checkpoint
from rna_hf.data.batches import make_batches
from rna_hf.prediction.predictor import batch_cost
from rna_hf.structure import decode_pairs, mean_pair_metrics, pair_metrics, parse_dotbracket

OUTPUT = RESULTS / "structure_accuracy.json"
MAX_LENGTH = 500  # nucleotides
BATCH_TOKENS = 4096
MODEL = "model"
UNSEEN = "archiveii, families not in fine-tuning"
NAMES = {"mfe": "ViennaRNA, minimum free energy", "mea": "ViennaRNA, maximum expected accuracy"}
# What `--validation` compares: thresholds, least helix lengths, whether other pairs than AU, GC and GU may not be, and
# weights of pairs.
GRID = ((0.1, 0.3, 0.5), (1, 2, 3), (False, True), (1.0, 2.0, 3.0, 4.0, 6.0))


class Decoding(NamedTuple):
    """Options of `decode_pairs`; its defaults are ours."""

    threshold: float = 0.5
    min_helix_length: int = 2
    canonical_only: bool = False
    pair_weight: float = 1.0


def pair_probabilities(folder: Path, sequences: Sequence[str]) -> Iterator[tuple[int, np.ndarray]]:
    """Predict with a checkpoint, in batches of similar length.

    Args:
        folder: the checkpoint.
        sequences: upper case, U for T.

    Yields:
        Index of a sequence, in no particular order, and its (L, L) pairing probabilities.
    """
    import torch
    from transformers import AutoTokenizer

    from rna_hf import AutoModelForSecondaryStructure

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSecondaryStructure.from_pretrained(folder).eval()
    config = model.config
    lengths = [len(sequence) for sequence in sequences]
    for batch in make_batches(lengths, BATCH_TOKENS, config.masks_padding, partial(batch_cost, config=config)):
        encoded = tokenizer(
            [sequences[index] for index in batch], padding=True, return_special_tokens_mask=True, return_tensors="pt"
        )
        keep = encoded.pop("special_tokens_mask") == 0
        with torch.inference_mode():
            probabilities = model(**encoded).logits.float().sigmoid()
        for index, own, values in zip(batch, keep, probabilities):
            yield index, values[own][:, own].numpy()


def predict_pairs(folder: Path, sequences: Sequence[str], decodings: Sequence[Decoding]) -> list[list[Pairs]]:
    """Return the base pairs of each sequence, for each way of decoding."""
    result: list[list[Pairs]] = [[[] for _ in sequences] for _ in decodings]
    for index, probabilities in pair_probabilities(folder, sequences):
        for pairs, decoding in zip(result, decodings):
            pairs[index] = decode_pairs(probabilities, sequence=sequences[index], **decoding._asdict())
    return result


def crossing_pairs(pairs: Pairs) -> Pairs:
    """Return the pairs that cross another one."""
    i, j = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    crosses = (i[:, None] < i) & (i < j[:, None]) & (j[:, None] < j)
    return [pairs[index] for index in np.flatnonzero(np.logical_or(crosses.any(0), crosses.any(1))).tolist()]


def pooled_metrics(predicted: Sequence[Pairs], rnas: Sequence[KnownRna], shift: int) -> dict[str, float]:
    """Return `pair_metrics` over the pairs of all RNAs, laid end to end with a nucleotide between them."""
    starts = np.cumsum([0, *(len(rna.sequence) + 1 for rna in rnas)]).tolist()
    found = [(start + i, start + j) for start, pairs in zip(starts, predicted) for i, j in pairs]
    known = [(start + i, start + j) for start, rna in zip(starts, rnas) for i, j in rna.pairs]
    return pair_metrics(found, known, starts[-1], shift)


def compare(predictions: Mapping[str, Sequence[Pairs]], rnas: Sequence[KnownRna]) -> dict[str, Any]:
    """Score several predictors on the same RNAs.

    Args:
        predictions: for each predictor the pairs of each RNA. If one is called `model`, its differences (model minus
            other) to the others are reported.
        rnas: the references.

    Returns:
        `rnas`; for each predictor below `metrics`: `mean`, `mean_shifted`, `pooled` and `pooled_shifted`, each with
        `precision`, `recall`, `f1` and `mcc`, and `f1`, the mean F1 with its interval; `differences[other]`, the
        difference in mean F1 with its interval; and `pseudoknots`, where the references have some: `rnas` and `pairs`
        of the references and the share `found` by each predictor.
    """
    metrics: dict[str, Any] = {}
    scores: dict[str, np.ndarray] = {}
    for name, predicted in predictions.items():
        metrics[name] = {}
        for suffix, shift in (("", 0), ("_shifted", 1)):
            of_each = [pair_metrics(pairs, rna.pairs, len(rna.sequence), shift) for pairs, rna in zip(predicted, rnas)]
            metrics[name][f"mean{suffix}"] = mean_pair_metrics(of_each)
            metrics[name][f"pooled{suffix}"] = pooled_metrics(predicted, rnas, shift)
            if not shift:
                scores[name] = np.array([values["f1"] for values in of_each])
        metrics[name]["f1"] = mean_interval(scores[name])
    result: dict[str, Any] = {"rnas": len(rnas), "metrics": metrics}
    if MODEL in predictions:
        others = [name for name in predictions if name != MODEL]
        result["differences"] = {name: mean_interval(scores[MODEL] - scores[name]) for name in others}
    knots = [set(crossing_pairs(rna.pairs)) for rna in rnas]
    total = sum(map(len, knots))
    if total:
        found = {
            name: sum(len(knot & set(pairs)) for knot, pairs in zip(knots, predicted)) / total
            for name, predicted in predictions.items()
        }
        result["pseudoknots"] = {"rnas": sum(map(bool, knots)), "pairs": total, "found": found}
    return result


def choose_rnas(
    rnas: Sequence[KnownRna], train: Sequence[str], limit: int | None = None
) -> tuple[list[KnownRna], dict[str, int]]:
    """Leave out what is too long or similar to a training RNA, and count it.

    Args:
        rnas: a test set.
        train: training sequences.
        limit: how many to keep at most, spread evenly over those that remain; None for all.

    Returns:
        Those that remain, and the counts `too_long` and `similar_to_training`.
    """
    short = [rna for rna in rnas if len(rna.sequence) <= MAX_LENGTH]
    similar = find_similar(train, [rna.sequence for rna in short])
    kept = [rna for row, rna in enumerate(short) if row not in similar]
    if limit is not None and limit < len(kept):
        kept = [kept[place * len(kept) // limit] for place in range(limit)]
    return kept, {"too_long": len(rnas) - len(short), "similar_to_training": len(similar)}


def score_archiveii(
    archive: Mapping[str, Sequence[KnownRna]],
    train: Sequence[KnownRna],
    predict: Callable[[Sequence[KnownRna], str], Mapping[str, list[Pairs]]],
    limit: int | None,
    seen: Collection[str] = HIDDEN_FAMILIES,
) -> dict[str, Any]:
    """Score ArchiveII, whole and by family.

    Args:
        archive: RNAs by family.
        train: training RNAs.
        predict: gives the pairs of RNAs of a family, by predictor.
        limit: how many of each family to take at most; None for all.
        seen: families that `UNSEEN` leaves out: those of which fine-tuning holds members, or that another checkpoint
            predicts.

    Returns:
        The entries `archiveii`, `UNSEEN` and `archiveii, FAMILY` of the report; a family of which nothing is left has
        counts only.
    """
    sequences = [rna.sequence for rna in train]
    members = [rna.sequence for rnas in archive.values() for rna in rnas]
    of_members = [family for family, rnas in archive.items() for _ in rnas]
    relatives = Counter(closest_families(sequences, members, of_members))
    scored: dict[str, tuple[list[KnownRna], Mapping[str, list[Pairs]]]] = {}
    families: dict[str, Any] = {}
    for family, rnas in archive.items():
        chosen, counts = choose_rnas(rnas, sequences, limit)
        entry: dict[str, Any] = counts | {
            "training_relatives": relatives[family],
            "training_alike": int(find_alike(train, rnas).sum()),
            "rnas": len(chosen),
        }
        families[f"archiveii, {family}"] = entry
        if chosen:
            scored[family] = chosen, predict(chosen, family)
            entry |= compare(scored[family][1], chosen)
    unseen = [family for family in scored if family not in seen]
    return {
        test: compare(
            {name: [pairs for family in names for pairs in scored[family][1][name]] for name in scored[names[0]][1]},
            [rna for family in names for rna in scored[family][0]],
        )
        for test, names in (("archiveii", list(scored)), (UNSEEN, unseen))
        if names
    } | families


def choose_decoding(folder: Path, rnas: Sequence[KnownRna]) -> None:
    """Print the mean F1 of each way of decoding, the best first."""
    decodings = [Decoding(*options) for options in product(*GRID)]
    predictions = predict_pairs(folder, [rna.sequence for rna in rnas], decodings)
    scores = [
        np.mean([pair_metrics(pairs, rna.pairs, len(rna.sequence))["f1"] for pairs, rna in zip(predicted, rnas)])
        for predicted in predictions
    ]
    print(
        f"mean F1 of {len(rnas)} RNAs\n\n| F1 | threshold | least helix | AU, GC and GU alone | weight of pairs |\n|"
        + " --- |" * 5
    )
    for place in np.argsort(scores)[::-1].tolist():
        threshold, helix, is_canonical, weight = decodings[place]
        cells = [f"{scores[place]:.4f}", threshold, helix, "yes" if is_canonical else "no", weight]
        print("| " + " | ".join(map(str, cells)) + " |")


def markdown(report: Mapping[str, Any]) -> str:
    """Render the report's tables."""
    lines = ["Mean over RNAs of F1 with its interval; the other columns are means, or pooled where they say so.", ""]
    heads = ["F1", "precision", "recall", "MCC", "F1, shifted", "pooled F1", "crossing pairs found"]
    for test, entry in report["tests"].items():
        notes = [f"{entry['rnas']} RNAs"]
        if "training_relatives" in entry:
            notes.append(f"{entry['training_relatives']} relatives in fine-tuning by 6-mers")
            notes.append(f"{entry['training_alike']} of its shape and length")
            if "held_out" in entry:
                notes.append(f"measured with {entry['held_out']}, which has none of them")
        if "held_out_families" in entry:
            notes.append(f"of which {' and '.join(entry['held_out_families'])} by models fine-tuned without them")
        rows = []
        for name, values in entry.get("metrics", {}).items():
            cells = [with_interval(values["f1"])]
            cells += [f"{values['mean'][metric]:.3f}" for metric in ("precision", "recall", "mcc")]
            cells += [f"{values['mean_shifted']['f1']:.3f}", f"{values['pooled']['f1']:.3f}"]
            found = entry.get("pseudoknots", {}).get("found", {}).get(name)
            cells.append("" if found is None else f"{found:.3f}")
            rows.append([_label(name, report), *cells])
        for name, difference in entry.get("differences", {}).items():
            cells = [with_interval(difference, "+.3f"), *[""] * (len(heads) - 1)]
            rows.append([f"{report['model']} minus {_label(name, report)}", *cells])
        lines += [f"### {test} ({', '.join(notes)})", "", *table_lines(heads, rows), ""]
    return "\n".join(lines)


def headline_of(report: Mapping[str, Any], test: str) -> dict[str, Any]:
    """Put the model's mean F1 on a test set beside that of the better baseline."""
    scores = {_label(name, report): entry["f1"]["value"] for name, entry in report["tests"][test]["metrics"].items()}
    return headline(test, "f1", "F1 of base pairs", scores.pop(report["model"]), scores)


def _label(name: str, report: Mapping[str, Any]) -> str:
    return report["model"] if name == MODEL else NAMES[name]


def parse_held_out(text: str) -> tuple[str, str]:
    """Split `FAMILY=MODEL`."""
    family, _, model = text.partition("=")
    if not family or not model:
        raise argparse.ArgumentTypeError(f"{text!r} is not FAMILY=MODEL")
    return family, model


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description="Accuracy of predicted base pairs beside ViennaRNA.")
    parser.add_argument("--model", help="folder or name of a checkpoint; without it, ViennaRNA alone")
    parser.add_argument(
        "--held-out",
        type=parse_held_out,
        action="append",
        default=[],
        metavar="FAMILY=MODEL",
        help="checkpoint for a family of ArchiveII, trained without it; may be repeated",
    )
    parser.add_argument("--threshold", type=float, help="of a pair; default: that of the model's configuration")
    parser.add_argument("--pair-weight", type=float, help="of pairs in decoding; default: as the model's configuration")
    parser.add_argument(
        "--min-helix-length", type=int, default=Decoding().min_helix_length, help="in pairs; default: %(default)s"
    )
    parser.add_argument("--canonical-only", action="store_true", help="predict AU, GC and GU pairs alone")
    parser.add_argument("--validation", type=Path, metavar="TABLE", help="compare ways of decoding; writes nothing")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="DIR", help="shared data folder")
    parser.add_argument("--tables", type=Path, default=TABLES, metavar="DIR", help="where task_tables.py wrote")
    parser.add_argument("--limit", type=int, metavar="N", help="N RNAs of each set and family at most")
    parser.add_argument("--family-limit", type=int, metavar="N", help="N RNAs of each family of ArchiveII at most")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help="JSON to write; the table is .md")
    arguments = parser.parse_args(argv)
    require_vienna(parser)
    if any(limit is not None and limit < 1 for limit in (arguments.limit, arguments.family_limit)):
        parser.error("--limit and --family-limit are 1 or more")
    if (arguments.held_out or arguments.validation) and not arguments.model:
        parser.error("--held-out and --validation need --model")
    model = find_checkpoint(arguments.model) if arguments.model else None
    if model and arguments.validation:
        choose_decoding(model, read_table(arguments.validation)[: arguments.limit])
        return 0

    archive = read_archiveii(arguments.data)
    held_out = {family: find_checkpoint(name) for family, name in arguments.held_out}
    if unknown := set(held_out) - set(archive):
        parser.error(f"ArchiveII has no family {', '.join(sorted(unknown))}; it has {', '.join(archive)}")
    folders = list(dict.fromkeys([*([model] if model else []), *held_out.values()]))
    if len({folder.name for folder in folders}) < len(folders):
        parser.error("two checkpoints have the same name; rename the folder of one")
    train = read_table(arguments.tables / "structure_train.parquet")
    seen = [rna.sequence for rna in train]

    options = AutoConfig.from_pretrained(model).decoding if model else {}
    for name in ("threshold", "pair_weight"):
        if getattr(arguments, name) is not None:
            options[name] = getattr(arguments, name)
    decoding = Decoding(min_helix_length=arguments.min_helix_length, canonical_only=arguments.canonical_only, **options)
    vienna = ViennaStructures()
    report: dict[str, Any] = {
        "model": model.name if model else None,
        "weights_sha256": weights_digests(folders),
        "settings": {
            "decoding": decoding._asdict(),
            "max_length": MAX_LENGTH,
            "limit": arguments.limit,
            "family_limit": arguments.family_limit,
            "training_rnas": len(train),
            "bootstrap": SETTINGS,
        },
        "tests": {},
        "headlines": [],
    }

    def predict(rnas: Sequence[KnownRna], family: str = "") -> dict[str, list[Pairs]]:
        sequences = [rna.sequence for rna in rnas]
        folded = vienna(sequences)
        folder = held_out.get(family, model)
        predictions = {MODEL: predict_pairs(folder, sequences, [decoding])[0]} if folder else {}
        return predictions | {method: [parse_dotbracket(s) for s in folded[method]] for method in METHODS}

    bprna, counts = choose_rnas(read_table(arguments.tables / "structure_test.parquet"), seen, arguments.limit)
    report["tests"]["bprna"] = counts | compare(predict(bprna), bprna)

    pdb, counts = choose_rnas(read_pdb(arguments.data), seen, arguments.limit)
    predictions = predict(pdb)
    report["tests"]["pdb"] = counts | compare(predictions, pdb)
    report["tests"]["pdb, AU, GC and GU pairs"] = counts | compare(predictions, [canonical(rna) for rna in pdb])

    report["tests"] |= score_archiveii(
        archive, train, predict, arguments.family_limit or arguments.limit, {*HIDDEN_FAMILIES, *held_out}
    )
    for family, folder in held_out.items():
        report["tests"][f"archiveii, {family}"]["held_out"] = folder.name
    if held_out and "archiveii" in report["tests"]:
        report["tests"]["archiveii"]["held_out_families"] = list(held_out)

    if model:
        for test in ("bprna", UNSEEN, "pdb"):
            if test in report["tests"]:
                report["headlines"].append(headline_of(report, test))
    write_report(report, markdown(report), arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
