"""The package's metrics as modules of the library `evaluate`: the functions that training and benchmarks call.

`evaluate.load(rna_hf.evaluation.path("pair_f1"))` opens one from the installed package, without a network; so does
`rna_hf.evaluation.load("pair_f1")`. All take `predictions` and `references`, at once or by `add_batch`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..measured import is_measured, is_resolved
from ..structure import parse_dotbracket
from ..structure.coordinates import lddt, rmsd, tm_score
from ..structure.pair_metrics import METRICS as PAIR_METRICS
from ..structure.pair_metrics import pair_metrics
from ..tasks.scores import channel_metrics, column_errors, pearson_r


@dataclass(frozen=True)
class RnaMetric:
    """A metric.

    Attributes:
        compute: takes predictions, references and options, and returns values by name.
        depth: 0 for text, else how deep the lists of numbers of one RNA are nested.
        description: what is measured, the range, and what counts as missing.
        inputs: what predictions and references are.
        citation: where it comes from.
    """

    compute: Callable[..., dict[str, float]]
    depth: int
    description: str
    inputs: str
    citation: str = ""


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


def _pair_f1(predictions: Sequence[str], references: Sequence[str], shift: int = 0) -> dict[str, float]:
    scores = []
    for number, (found, known) in enumerate(zip(predictions, references, strict=True), start=1):
        if len(found) != len(known):
            raise ValueError(
                f"RNA {number}: structures of {len(found)} and {len(known)} nt; give them for one sequence"
            )
        scores.append(pair_metrics(parse_dotbracket(found), parse_dotbracket(known), len(known), shift))
    return {name: float(np.mean([score[name] for score in scores])) for name in PAIR_METRICS}


def _tertiary_structure(predictions: Sequence[Any], references: Sequence[Any]) -> dict[str, float]:
    scores = {"tm_score": tm_score, "rmsd": rmsd, "lddt": lambda *pair: lddt(*pair)[0]}
    pairs = list(zip(_arrays(predictions), _arrays(references), strict=True))
    for number, (_, native) in enumerate(pairs, start=1):
        if is_resolved(native).sum() < 3:
            raise ValueError(f"RNA {number}: fewer than 3 nucleotides of the reference have a position; leave it out")
    return {name: float(np.mean([score(*pair) for pair in pairs])) for name, score in scores.items()}


def _localisation(
    predictions: Sequence[Any], references: Sequence[Any], compartments: Sequence[str] | None = None
) -> dict[str, float]:
    found, known = (np.stack(_arrays(values)) for values in (predictions, references))
    measured = is_measured(known).all(-1)
    found, known = found[measured], known[measured]
    names = compartments or [str(index) for index in range(known.shape[1])]
    columns = {f"pearson_{name}": pearson_r(found[:, i], known[:, i]) for i, name in enumerate(names)}
    return {"pearson": pearson_r(found.ravel(), known.ravel()), **columns}


METRICS = {
    "reactivity": RnaMetric(
        _reactivity,
        2,
        "Mean absolute error (0 and more), Pearson's and Spearman's r (-1 to 1) of each channel over all measured "
        "nucleotides, and their means over channels. Not measured: NaN or -100 in the references.",
        "For each RNA a row of channels for each nucleotide. `channels`: their names; `clip`: to 0 to 1, as published.",
        "He et al. 2024, Ribonanza, doi:10.1101/2024.02.24.581671",
    ),
    "mcrmse": RnaMetric(
        _mcrmse,
        2,
        "Mean over columns of the root mean squared error over measured nucleotides, 0 and more. Not measured: NaN or "
        "-100 in the references.",
        "For each RNA a row of targets for each nucleotide.",
        "Wayment-Steele et al. 2022, Nature Machine Intelligence, OpenVaccine, doi:10.1038/s42256-022-00571-8",
    ),
    "pair_f1": RnaMetric(
        _pair_f1,
        0,
        "Precision, recall and F1 (0 to 1) and Matthews' correlation (-1 to 1) of base pairs, averaged over RNAs.",
        "For each RNA a dot-bracket, pseudoknots included. `shift`: 1 lets one end of a pair be off by one nucleotide.",
    ),
    "tertiary_structure": RnaMetric(
        _tertiary_structure,
        2,
        "TM-score (0 to 1), root mean squared deviation (angstrom) and lDDT (0 to 1), averaged over RNAs. Unresolved: "
        "NaN in the references.",
        "For each RNA x, y and z of each nucleotide's C1', angstrom.",
        "TM-score of RNA: Gong et al. 2019, Bioinformatics 35:4459; lDDT: Mariani et al. 2013, Bioinformatics 29:2722",
    ),
    "localisation": RnaMetric(
        _localisation,
        1,
        "Pearson's r (-1 to 1) of predicted and measured shares, of all values as one list and of each compartment. "
        "RNAs with a share that is NaN or -100 are left out.",
        "For each RNA its share in each compartment, 0 to 1. `compartments`: their names.",
        "Yan et al. 2019, Bioinformatics 35:i333, RNATracker",
    ),
}
"""All metrics by name."""


def path(name: str) -> str:
    """Return the file of a module, for `evaluate.load`.

    Raises:
        ValueError: there is no such metric.
    """
    if name not in METRICS:
        raise ValueError(f"there is no metric {name!r}; choose one of {', '.join(METRICS)}")
    return str(Path(__file__).parent / f"{name}.py")


def load(name: str, **options: Any) -> Any:
    """Open a metric.

    Args:
        name: a key of `METRICS`.
        **options: of `evaluate.load`, such as `experiment_id`.

    Example:
        >>> load("pair_f1").compute(predictions=["((...))"], references=["((...))"])["f1"]
        1.0
    """
    import evaluate

    return evaluate.load(path(name), **options)


def module_class(name: str) -> type:
    """Make the class of a module, which `evaluate` finds in the file of the metric's name."""
    import datasets
    import evaluate

    metric = METRICS[name]
    feature: Any = datasets.Value("float64" if metric.depth else "string")
    for _ in range(metric.depth):
        feature = datasets.List(feature)

    class Module(evaluate.Metric):
        def _info(self) -> evaluate.MetricInfo:
            return evaluate.MetricInfo(
                description=metric.description,
                citation=metric.citation,
                inputs_description=metric.inputs,
                features=datasets.Features({"predictions": feature, "references": feature}),
            )

        def _compute(self, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, float]:
            return metric.compute(predictions, references, **options)

    Module.__doc__, Module.__name__ = metric.description, "".join(part.title() for part in name.split("_"))
    return Module
