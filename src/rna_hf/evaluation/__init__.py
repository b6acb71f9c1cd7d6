"""The package's metrics as modules of the library `evaluate`: the functions that training and benchmarks call.

`evaluate.load(rna_hf.evaluation.path("pair_f1"))` opens one from the installed package, without a network; so does
`rna_hf.evaluation.load("pair_f1")`. All take `predictions` and `references`, at once or by `add_batch`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .metrics import METRICS

KINDS = {"text": "string", "integer": "int64", "float": "float64"}
"""The name in `datasets` of what the predictions of a metric are."""


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

    Raises:
        ValueError: there is no such metric.
        OSError: `evaluate` keeps files in its cache, which can't be written.

    Example:
        >>> load("pair_f1").compute(predictions=["((...))"], references=["((...))"])["f1"]
        1.0
    """
    file = path(name)
    try:
        import evaluate

        return evaluate.load(file, **options)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise OSError(
            f"the cache of the library evaluate can't be written{where}: set HF_HOME to a folder of your own"
        ) from error


def compute_metrics(name: str, **options: Any) -> TrainerMetric:
    """Make a `compute_metrics` for transformers' `Trainer` of a metric.

    Args:
        name: a key of `METRICS`; not `pair_f1` and `tertiary_structure`, whose predictions no model gives as they are.
        **options: of the metric's `compute`, such as `channels` of "reactivity".

    Raises:
        ValueError: there is no such metric, or it is not for a Trainer.

    Example:
        >>> Trainer(model, arguments, compute_metrics=compute_metrics("reactivity", channels=["2A3", "DMS"]), ...)
    """
    return TrainerMetric(name, **options)


class TrainerMetric:
    """What a `Trainer` calls with a model's logits and labels: all at once, or with `batch_eval_metrics` by batches."""

    def __init__(self, name: str, **options: Any):
        self._module, self._options = load(name), options
        self._predict = METRICS[name].predict
        if self._predict is None:
            raise ValueError(f"the metric {name!r} is not for a Trainer: compute it of what `rna_hf.predict` gives")

    def __call__(self, prediction: Any, compute_result: bool = True) -> dict[str, float]:
        """Take in logits and labels; with `compute_result` return the values of all since the last result."""
        logits, labels = (_array(part) for part in (prediction.predictions, prediction.label_ids))
        assert self._predict is not None
        self._module.add_batch(predictions=self._predict(logits).tolist(), references=labels.tolist())
        return self._module.compute(**self._options) if compute_result else {}


def _array(part: Any) -> np.ndarray:
    """Return the first of several outputs, as an array."""
    part = part[0] if isinstance(part, tuple) else part
    return part if isinstance(part, np.ndarray) else (part.float() if part.is_floating_point() else part).cpu().numpy()


def module_class(name: str) -> type:
    """Make the class of a module, which `evaluate` finds in the file of the metric's name."""
    import datasets
    import evaluate

    metric = METRICS[name]
    predictions, references = (_nested(metric.inputs, depth) for depth in (metric.depth, metric.reference_depth))

    class Module(evaluate.Metric):
        def _info(self) -> evaluate.MetricInfo:
            return evaluate.MetricInfo(
                description=metric.description,
                citation=metric.citation,
                inputs_description=metric.explanation,
                features=datasets.Features({"predictions": predictions, "references": references}),
            )

        def _compute(self, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, Any]:
            return metric.compute(predictions, references, **options)

    Module.__doc__, Module.__name__ = metric.description, "".join(part.title() for part in name.split("_"))
    return Module


def _nested(kind: str, depth: int) -> Any:
    import datasets

    feature: Any = datasets.Value(KINDS[kind])
    for _ in range(depth):
        feature = datasets.List(feature)
    return feature
