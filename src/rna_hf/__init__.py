"""rna_hf: RNA models for Hugging Face Transformers.

Importing the package makes its models known to transformers' Auto classes and pipelines; nothing else happens.
"""

import sys
from importlib import import_module
from typing import Any

from .models.registry import ARCHITECTURES
from .tasks import TASKS, predictions

# Name -> the module that has it, which is imported when somebody asks for the name.
_PLACES = {
    "__version__": ".version",
    "RnaTokenizerFast": ".tokenization",
    "Embedder": ".prediction.embedder",
    "embed": ".prediction",
    "load": ".hub.loading",
    "predict": ".prediction",
    "register": ".registration",
    "convert_ribonanzanet_to_original": ".models.ribonanzanet.convert_ribonanzanet_to_original",
}
# An architecture's converter has the name of its module.
_PLACES |= {
    entry.converter: f"{entry.module}.{entry.converter}" for entry in ARCHITECTURES.values() if entry.conversion
}


def _exported_names() -> list[str]:
    classes = [name for architecture in ARCHITECTURES.values() for name in architecture.class_names]
    auto_classes = [task.auto_class_name for task in TASKS.values()]
    pipelines = [TASKS[name].pipeline_class_name for name in predictions()]
    return sorted([*classes, *auto_classes, *pipelines, *_PLACES])


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name], __name__), name)
    for architecture in ARCHITECTURES.values():
        if name in architecture.class_names:
            return getattr(import_module(architecture.module), name)
    for task in TASKS.values():
        if name == task.auto_class_name:
            return task.auto_class()
        if task.prediction and name == task.pipeline_class_name:
            return import_module(".pipelines", __name__).pipeline_class(task)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return _exported_names()


__all__ = _exported_names()

if "rna_hf_command" not in sys.modules:  # see there
    import_module(".registration", __name__).register()
