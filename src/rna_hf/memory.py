"""Devices, the memory they have left, and the memory that a prediction takes."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .layers.pair import ATTENTION_VALUES

# Floating-point values held at the peak of a forward pass, per pair of nucleotides and channel of the pair state.
# Measured on the CPU for RibonanzaNet of widths 32 and 64, 60 to 1,600 nt, float32 and bfloat16: 3.4 to 4.5, and some
# 30 MB for the blocks, whatever the size.
_VALUES_PER_PAIR_CHANNEL = 4.5
# The same with triangular attention, and for each value of the biases that it holds at a time.
_VALUES_PER_ATTENDED_PAIR_CHANNEL = 10.0
_VALUES_PER_BIAS = 1.5
# The same of a model without states for pairs, per nucleotide and channel. Measured on the CPU for RNATracker of width
# 32, 50,000 to 200,000 nt, float32 and bfloat16: 2.2 to 2.3. Of a narrower one the input takes a larger part.
_VALUES_PER_CHANNEL = 4.0
# Part of the free memory that a run may plan with.
_USABLE_MEMORY = 0.9


def resolve_device(name: str) -> torch.device:
    """Turn a device's name into a device that is there.

    Args:
        name: `auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`, ...

    Raises:
        ValueError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        # The only way to ask any back end whether it is there.
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        present = ", ".join(["cpu", *(f"cuda:{index}" for index in range(count))])
        raise ValueError(f"device {name!r} is not available here; there is {present} (or auto)") from error
    if device.type == "meta":
        raise ValueError("device 'meta' holds no numbers; use cpu or cuda")
    return device


def available_memory(device: torch.device) -> int | None:
    """Return the bytes that can still be taken on a device, or None if the system does not tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu":
        return None
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration), open("/proc/meminfo") as file:
        found.append(int(next(line for line in file if line.startswith("MemAvailable:")).split()[1]) * 1024)
    # A container's limit may be far below what the machine has free. File pages count as used but are given up.
    with contextlib.suppress(OSError, ValueError, StopIteration):
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        statistics = (group / "memory.stat").read_text().splitlines()
        files = next(int(line.split()[1]) for line in statistics if line.startswith("file "))
        found.append(limit - used + files)
    if not found:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def has_pair_states(config: Any) -> bool:
    """Tell whether a model holds values for each pair of nucleotides, so that its cost grows with L * L."""
    return hasattr(config, "pair_hidden_size") or hasattr(config, "num_attention_heads")


def estimate_memory(config: Any, length: int, num_pairs: int, itemsize: int) -> int:
    """Estimate the bytes that a forward pass takes at its peak, weights left out.

    Args:
        config: of the model; the sizes of its states for pairs are read where it has them, else `hidden_size`.
        length: of the longest sequence, in nucleotides.
        num_pairs: B * L * L, padding included.
        itemsize: bytes of a value.
    """
    if not has_pair_states(config):
        return int(num_pairs // max(1, length) * config.hidden_size * _VALUES_PER_CHANNEL * itemsize)
    size = config.pair_hidden_size if hasattr(config, "pair_hidden_size") else config.num_attention_heads
    if not getattr(config, "use_triangular_attention", False):
        return int(num_pairs * size * _VALUES_PER_PAIR_CHANNEL * itemsize)
    num_biases = num_pairs * config.num_triangle_attention_heads
    num_biases = min(num_biases * length, max(num_biases, ATTENTION_VALUES))
    return int((num_pairs * size * _VALUES_PER_ATTENDED_PAIR_CHANNEL + num_biases * _VALUES_PER_BIAS) * itemsize)


@dataclass(frozen=True)
class MemoryLimit:
    """What a model can predict in the memory that a device has left.

    Attributes:
        config: of the model.
        device: where it runs.
        itemsize: bytes of a value.
        num_weight_bytes: bytes that the weights will take.
        available: bytes that are free, or None if the system does not tell: then everything fits.
    """

    config: Any
    device: torch.device
    itemsize: int
    num_weight_bytes: int
    available: int | None

    def has_room(self, length: int, num_pairs: int) -> bool:
        """Tell whether a batch fits; see `estimate_memory`."""
        if self.available is None:
            return True
        needed = estimate_memory(self.config, length, num_pairs, self.itemsize)
        return needed + self.num_weight_bytes <= _USABLE_MEMORY * self.available

    def max_length(self) -> int:
        """Return the length, in nucleotides, of the longest single sequence that fits."""
        low, high = 0, 1
        while self.has_room(high, high * high) and high < 1 << 40:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.has_room(middle, middle * middle) else (low, middle)
        return low

    def explain(self, length: int, num_pairs: int) -> str:
        """Say what a batch would need and what is free."""
        needed = _gigabytes(estimate_memory(self.config, length, num_pairs, self.itemsize))
        return f"would need about {needed} of memory, and {_gigabytes(self.available or 0)} are free on {self.device}"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size < 100e9 else f"{size / 1e9:,.0f} GB"
