"""Reads the weights of an original's checkpoint; for the converters, which alone open files of others.

Nothing else may import it, so that no pickled file is ever opened outside of a conversion.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read a checkpoint's tensors by name, in float32, without ever running code from the file."""
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        if path.suffix.lower() == ".safetensors":
            content: Any = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about pickle protocols; the reader gets one line, ours
                content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is no checkpoint, or holds more than tensors: opening it could run code, so it is refused; "
            "save its state dict alone and convert that"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, LookupError) as error:  # KeyError: a file of text
        reason = f"{type(error).__name__} {error}".splitlines()[0].strip()
        raise ValueError(f"{path} can't be read as a checkpoint: {reason}") from error
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    ):
        raise ValueError(f"{path} is not a state dict: names with tensors are needed, bare or under the key 'model'")
    if all(name.startswith("model.") for name in content):
        content = {name.removeprefix("model."): tensor for name, tensor in content.items()}
    if all(name.startswith("module.") for name in content):  # as DistributedDataParallel names them
        content = {name.removeprefix("module."): tensor for name, tensor in content.items()}
    for name, tensor in content.items():
        _check_tensor(tensor, f"{path}: {name}")
    return {name: tensor.float() for name, tensor in content.items()}


def _check_tensor(tensor: Tensor, where: str) -> None:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
        raise ValueError(f"{where} is no plain tensor of numbers; save the state dict in float32")
    # A few bytes that claim to be terabytes.
    if tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
        raise ValueError(f"{where} is a view that repeats its values; save a contiguous copy")
    # Counters, such as a batch normalisation's, are whole numbers.
    if where.endswith((".weight", ".bias")) and not tensor.is_floating_point():
        raise ValueError(f"{where} is of type {str(tensor.dtype)[6:]}; a model's weights are floating-point numbers")
    if not tensor.isfinite().all():
        raise ValueError(f"{where} holds NaN or infinite values")
