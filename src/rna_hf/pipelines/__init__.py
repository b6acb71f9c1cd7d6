"""Pipelines, one for each task that is predicted: a string in, plain Python values with named units out."""

from functools import cache
from typing import Any

from ..tasks import TASKS, Task, predictions
from .base import RnaPipeline


@cache
def pipeline_class(task: Task) -> type[RnaPipeline]:
    """Return the pipeline of a task, which `pipeline(task.pipeline_name)` opens."""
    prediction = task.prediction
    if prediction is None:
        raise ValueError(f"the task {task.name} is trained only: there is no pipeline for it")
    content = {"__doc__": prediction.describe.__doc__, "__module__": __name__, "rna_task": task}
    return type(task.pipeline_class_name, (RnaPipeline,), content)


def __getattr__(name: str) -> Any:
    for task in map(TASKS.get, predictions()):
        if task and name == task.pipeline_class_name:
            return pipeline_class(task)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["RnaPipeline", "pipeline_class"]
