"""The Auto class of each task: transformers' own where it has one, else one of this package."""

from __future__ import annotations

from collections import OrderedDict
from functools import cache

import transformers
from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES


@cache
def auto_class(head: str) -> type[_BaseAutoModelClass]:
    """Return the Auto class for a kind of head.

    Args:
        head: the noun of a task, `Task.head`: "Reactivity" gives `AutoModelForReactivity`.
    """
    name = f"AutoModelFor{head}"
    if hasattr(transformers, name):
        return getattr(transformers, name)
    mapping = _LazyAutoMapping(CONFIG_MAPPING_NAMES, OrderedDict())
    description = f"Opens any checkpoint with a head for the task {head}."
    return type(
        name, (_BaseAutoModelClass,), {"__doc__": description, "__module__": "rna_hf", "_model_mapping": mapping}
    )
