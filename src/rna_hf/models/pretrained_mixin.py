"""What every model of this package adds to transformers' `PreTrainedModel`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers.utils.hub import cached_file

from ..safety import check_folder
from .base import GOLDEN_FILE
from .golden import CHECK_VARIABLE, check_model, read_golden

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

# What says where the files of a checkpoint are.
_PLACE_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")


class RnaPreTrainedMixin:
    """Put it before `PreTrainedModel` among the bases of an architecture's models.

    `from_pretrained` looks at what it opens: see `rna_hf.safety`, and with `RNA_HF_CHECK` 1 the golden output.
    """

    @property
    def why_not_exported(self) -> str:
        """What keeps the model from being exported as a program of tensors alone; "" where nothing does."""
        return ""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a model as transformers does.

        Raises:
            ValueError: its folder holds what no checkpoint does, or a weight is not finite; with `RNA_HF_CHECK=1`: it
                does not give the golden output of its checkpoint.
            FileNotFoundError: with `RNA_HF_CHECK=1`: the checkpoint has none.
        """
        # Without a checkpoint, weights are given as a dictionary: there is nothing to compare with.
        if pretrained_model_name_or_path is None:
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)  # type: ignore[misc]
        name = str(pretrained_model_name_or_path)
        folder = Path(name, kwargs.get("subfolder") or "")
        if (folder / "config.json").is_file():
            check_folder(folder)
        wants_info = kwargs.pop("output_loading_info", False)
        model, info = super().from_pretrained(  # type: ignore[misc]
            pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
        )
        check_finite(model, name)
        if os.environ.get(CHECK_VARIABLE, "") not in ("", "0"):
            path = _find_golden(pretrained_model_name_or_path, kwargs)
            new_head = bool(kwargs.get("ignore_mismatched_sizes"))
            check_model(model, read_golden(path), name, set(info["missing_keys"]), new_head)
        return (model, info) if wants_info else model


def check_finite(model: Any, name: str) -> None:
    """Refuse a model with a weight that is NaN or infinite; weights that are not here (`meta`) are not looked at.

    Raises:
        ValueError: with the weight's name.
    """
    for key, weight in model.named_parameters():
        if weight.dtype in FLOATS and not weight.is_meta and not weight.isfinite().all():
            raise ValueError(f"{name}: {key} holds NaN or infinite values; the checkpoint is damaged")


def _find_golden(checkpoint: Any, options: Mapping[str, Any]) -> Path:
    where = {name: options[name] for name in _PLACE_ARGUMENTS if options.get(name) is not None}
    path = cached_file(
        checkpoint,
        GOLDEN_FILE,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **where,
    )
    if path is None:
        raise FileNotFoundError(
            f"{checkpoint} has no {GOLDEN_FILE}, and {CHECK_VARIABLE} asks for a check: write one with "
            f"`rna-hf check FOLDER --write`, or unset {CHECK_VARIABLE}"
        )
    return Path(path)
