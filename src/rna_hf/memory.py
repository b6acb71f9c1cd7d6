"""Devices, the memory they have left, and the memory that a prediction takes."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from .models.base import RnaConfig

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

    config: RnaConfig
    device: torch.device
    itemsize: int
    num_weight_bytes: int
    available: int | None

    def has_room(self, batch: int, length: int) -> bool:
        """Tell whether so many sequences of a length, in nucleotides, fit."""
        if self.available is None:
            return True
        needed = self.config.forward_cost(batch, length, self.itemsize)
        return needed + self.num_weight_bytes <= _USABLE_MEMORY * self.available

    def max_length(self) -> int:
        """Return the length, in nucleotides, of the longest single sequence that fits."""
        low, high = 0, 1
        while self.has_room(1, high) and high < 1 << 40:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.has_room(1, middle) else (low, middle)
        return low

    def explain(self, batch: int, length: int) -> str:
        """Say what so many sequences of a length would need and what is free."""
        needed = _gigabytes(self.config.forward_cost(batch, length, self.itemsize))
        return f"would need about {needed} of memory, and {_gigabytes(self.available or 0)} are free on {self.device}"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size < 100e9 else f"{size / 1e9:,.0f} GB"
