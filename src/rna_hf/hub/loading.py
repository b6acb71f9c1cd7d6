"""`rna_hf.load`: a checkpoint's model and tokenizer, opened by name."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ..checkpoints import find_checkpoint, saved_class
from ..models.registry import ARCHITECTURES
from ..safety import check_folder
from ..tasks import TASKS


class Loaded(NamedTuple):
    """A checkpoint that was opened.

    Attributes:
        model: in evaluation mode.
        tokenizer: the model's.
    """

    model: Any
    tokenizer: Any


def load(name: str | os.PathLike, task: str | None = None, **options: Any) -> Loaded:
    """Open a checkpoint's model and tokenizer.

    Args:
        name: a folder; a name of a checkpoint of this package, with or without its owner (`ribonanzanet-mini`,
            `rna-hf/ribonanzanet-mini`); or another id on the Hugging Face Hub.
        task: a key of `rna_hf.tasks.TASKS`, for the model with that task's head; by default the class that the
            checkpoint was saved from.
        **options: of `from_pretrained` of the model, such as `dtype` or `device_map`.

    Returns:
        Model and tokenizer.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: there is no such task, or the checkpoint is of another package.

    Example:
        >>> model, tokenizer = rna_hf.load("rna-hf/ribonanzanet-mini")
        >>> type(model).__name__
        'RibonanzaNetForReactivity'
    """
    from transformers import AutoTokenizer

    if task is not None and task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task!r}")
    folder = find_checkpoint(name)
    check_folder(folder)
    opener = TASKS[task].auto_class() if task is not None else _class_of(str(name), *saved_class(folder))
    return Loaded(opener.from_pretrained(folder, **options).eval(), AutoTokenizer.from_pretrained(folder))


def _class_of(name: str, model_type: str, class_name: str) -> Any:
    """Return the class that a checkpoint was saved from."""
    if model_type not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"{name} is of another package (model_type {model_type!r}; this one has {known})")
    architecture = ARCHITECTURES[model_type]
    known_name = class_name in architecture.class_names
    return architecture.find_class(class_name.removeprefix(architecture.prefix) if known_name else "Model")
