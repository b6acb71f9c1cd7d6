"""Auto classes for tasks that transformers has none for."""

from __future__ import annotations

from collections import OrderedDict

from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES


class AutoModelForReactivity(_BaseAutoModelClass):
    """Opens any checkpoint with a head for chemical reactivity per nucleotide."""

    # transformers annotates the base class's None.
    _model_mapping = _LazyAutoMapping(CONFIG_MAPPING_NAMES, OrderedDict())  # type: ignore[assignment]
