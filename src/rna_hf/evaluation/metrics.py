"""What the modules of `rna_hf.evaluation` measure, for lists of RNAs: the functions that training calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..measured import is_measured, is_resolved
from ..structure import parse_dotbracket
from ..structure.coordinates import lddt, rmsd, tm_score
from ..structure.pair_metrics import METRICS as PAIR_METRICS
from ..structure.pair_metrics import pair_metrics
from ..tasks.scores import (
    channel_metrics,
    class_scores,
    column_errors,
    masked_token_scores,
    pearson_r,
    sum_masked_tokens,
)


@dataclass(frozen=True)
class RnaMetric:
    """A metric.

    Attributes:
        compute: takes predictions, references and options, and returns values by name.
        inputs: what the predictions of an RNA are: "text", "integer", or "float".
        depth: how deep the lists of one RNA's predictions are nested.
        reference_depth: that of its references.
        description: what is measured, the range, and what counts as missing.
        explanation: what predictions and references are.
        citation: where it comes from.
        predict: makes predictions of a model's logits, an array; None if it can't be done batch by batch.
    """

    compute: Callable[..., dict[str, Any]]
    inputs: str
    depth: int
    reference_depth: int
    description: str
    explanation: str
    citation: str = ""
    predict: Callable[[np.ndarray], np.ndarray] | None = None


def _arrays(values: Sequence[Any]) -> list[np.ndarray]:
    return [np.array(value, dtype=np.float64) for value in values]


def _reactivity(
    predictions: Sequence[Any], references: Sequence[Any], channels: Sequence[str], clip: bool = True
) -> dict[str, float]:
    found, known = (np.concatenate(_arrays(values)) for values in (predictions, references))
    return channel_metrics(found, known, channels, (0.0, 1.0) if clip else None)


def _mcrmse(predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
    found, known = (np.concatenate(_arrays(values)) for values in (predictions, references))
    return {"mcrmse": float(np.mean(column_errors(found, known)))}


def _pair_f1(
    predictions: Sequence[str], references: Sequence[str], shift: int = 0, each: bool = False
) -> dict[str, Any]:
    scores = []
    for number, (found, known) in enumerate(zip(predictions, references, strict=True), start=1):
        if len(found) != len(known):
            raise ValueError(
                f"RNA {number}: structures of {len(found)} and {len(known)} nt; give them for one sequence"
            )
        scores.append(pair_metrics(parse_dotbracket(found), parse_dotbracket(known), len(known), shift))
    return _gather({name: [score[name] for score in scores] for name in PAIR_METRICS}, each)


def _tertiary_structure(predictions: Sequence[Any], references: Sequence[Any], each: bool = False) -> dict[str, Any]:
    scores = {"tm_score": tm_score, "rmsd": rmsd, "lddt": lambda *pair: lddt(*pair).score}
    pairs = list(zip(_arrays(predictions), _arrays(references), strict=True))
    for number, (_, native) in enumerate(pairs, start=1):
        if is_resolved(native).sum() < 3:
            raise ValueError(f"RNA {number}: fewer than 3 nucleotides of the reference have a position; leave it out")
    return _gather({name: [float(score(*pair)) for pair in pairs] for name, score in scores.items()}, each)


def _gather(scores: dict[str, list[float]], each: bool) -> dict[str, Any]:
    """Return the scores of each RNA, or their means."""
    return scores if each else {name: float(np.mean(values)) for name, values in scores.items()}


def _localisation(
    predictions: Sequence[Any], references: Sequence[Any], compartments: Sequence[str] | None = None
) -> dict[str, float]:
    found, known = (np.stack(_arrays(values)) for values in (predictions, references))
    measured = is_measured(known).all(-1)
    found, known = found[measured], known[measured]
    names = compartments or [str(index) for index in range(known.shape[1])]
    columns = {f"pearson_{name}": pearson_r(found[:, i], known[:, i]) for i, name in enumerate(names)}
    return {"pearson": pearson_r(found.ravel(), known.ravel()), **columns}


def _sequence_classification(predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
    return class_scores(np.array(predictions), np.array(references))


def _token_classification(predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
    return class_scores(*(np.concatenate(_arrays(values)) for values in (predictions, references)))


def _masked_lm(predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
    return masked_token_scores(*sum_masked_tokens(*(np.concatenate(_arrays(v)) for v in (predictions, references))))


def _most_likely(logits: np.ndarray) -> np.ndarray:
    return logits.argmax(-1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def _as_they_are(logits: np.ndarray) -> np.ndarray:
    return logits


METRICS = {
    "reactivity": RnaMetric(
        _reactivity,
        "float",
        2,
        2,
        "Mean absolute error (0 and more), Pearson's and Spearman's r (-1 to 1) of each channel over all measured "
        "nucleotides, and their means over channels. Not measured: NaN or -100 in the references.",
        "For each RNA a row of channels for each nucleotide. `channels`: their names; `clip`: to 0 to 1, as published.",
        "He et al. 2024, Ribonanza, doi:10.1101/2024.02.24.581671",
        _as_they_are,
    ),
    "mcrmse": RnaMetric(
        _mcrmse,
        "float",
        2,
        2,
        "Mean over columns of the root mean squared error over measured nucleotides, 0 and more. Not measured: NaN or "
        "-100 in the references.",
        "For each RNA a row of targets for each nucleotide.",
        "Wayment-Steele et al. 2022, Nature Machine Intelligence, OpenVaccine, doi:10.1038/s42256-022-00571-8",
        _as_they_are,
    ),
    "pair_f1": RnaMetric(
        _pair_f1,
        "text",
        0,
        0,
        "Precision, recall and F1 (0 to 1) and Matthews' correlation (-1 to 1) of base pairs, averaged over RNAs.",
        "For each RNA a dot-bracket, pseudoknots included. `shift`: 1 lets one end of a pair be off by one nucleotide; "
        "`each`: a list of values, one for each RNA.",
    ),
    "tertiary_structure": RnaMetric(
        _tertiary_structure,
        "float",
        2,
        2,
        "TM-score (0 to 1), root mean squared deviation (angstrom) and lDDT (0 to 1), averaged over RNAs. Unresolved: "
        "NaN in the references.",
        "For each RNA x, y and z of each nucleotide's C1', angstrom. `each`: a list of values, one for each RNA.",
        "TM-score of RNA: Gong et al. 2019, Bioinformatics 35:4459; lDDT: Mariani et al. 2013, Bioinformatics 29:2722",
    ),
    "localisation": RnaMetric(
        _localisation,
        "float",
        1,
        1,
        "Pearson's r (-1 to 1) of predicted and measured shares, of all values as one list and of each compartment. "
        "RNAs with a share that is NaN or -100 are left out.",
        "For each RNA its share in each compartment, 0 to 1. `compartments`: their names.",
        "Yan et al. 2019, Bioinformatics 35:i333, RNATracker",
        _softmax,
    ),
    "sequence_classification": RnaMetric(
        _sequence_classification,
        "integer",
        0,
        0,
        "Accuracy and macro-averaged F1 (0 to 1) of the classes of whole RNAs, of the classes that occur.",
        "For each RNA the index of its class; -100 in the references where unknown.",
        predict=_most_likely,
    ),
    "token_classification": RnaMetric(
        _token_classification,
        "integer",
        1,
        1,
        "Accuracy and macro-averaged F1 (0 to 1) of the classes of nucleotides, of the classes that occur.",
        "For each RNA the index of the class of each nucleotide; -100 in the references where unknown.",
        predict=_most_likely,
    ),
    "masked_lm": RnaMetric(
        _masked_lm,
        "float",
        2,
        1,
        "Part of the hidden nucleotides that are named right (0 to 1), and the perplexity (1 and more): exp of their "
        "mean cross-entropy in nats.",
        "For each RNA the logits of all tokens at each place, and the id that was hidden there, or -100.",
        predict=_as_they_are,
    ),
}
"""All metrics by name."""
