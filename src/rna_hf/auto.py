"""Auto classes for tasks that transformers has none for."""

from __future__ import annotations

from collections import OrderedDict

from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES


def _new_mapping() -> _LazyAutoMapping:
    # transformers annotates the base class's None, hence the remarks to the type checker below.
    return _LazyAutoMapping(CONFIG_MAPPING_NAMES, OrderedDict())


class AutoModelForReactivity(_BaseAutoModelClass):
    """Opens any checkpoint with a head for chemical reactivity per nucleotide."""

    _model_mapping = _new_mapping()  # type: ignore[assignment]


class AutoModelForDegradation(_BaseAutoModelClass):
    """Opens any checkpoint with a head for degradation per nucleotide."""

    _model_mapping = _new_mapping()  # type: ignore[assignment]


class AutoModelForSequenceDropout(_BaseAutoModelClass):
    """Opens any checkpoint with a head for the number of reads of a sequence."""

    _model_mapping = _new_mapping()  # type: ignore[assignment]


class AutoModelForSecondaryStructure(_BaseAutoModelClass):
    """Opens any checkpoint with a head for which nucleotides pair."""

    _model_mapping = _new_mapping()  # type: ignore[assignment]


class AutoModelForTertiaryStructure(_BaseAutoModelClass):
    """Opens any checkpoint with a head for the coordinates of each nucleotide."""

    _model_mapping = _new_mapping()  # type: ignore[assignment]


class AutoModelForLocalisation(_BaseAutoModelClass):
    """Opens any checkpoint with a head for where in the cell an RNA is found."""

    _model_mapping = _new_mapping()  # type: ignore[assignment]


class AutoModelForContactPrediction(_BaseAutoModelClass):
    """Opens any checkpoint with a head for labels of each pair of nucleotides."""

    _model_mapping = _new_mapping()  # type: ignore[assignment]
