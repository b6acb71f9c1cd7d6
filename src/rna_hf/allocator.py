"""Settings of the C library's memory allocator, where it is glibc's."""

import ctypes
import functools
import sys

_MIB = 1 << 20
# Parameters of glibc's mallopt, from <malloc.h>.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def keep_freed_buffers(is_training: bool) -> bool:
    """Let the C library keep freed buffers for reuse, rather than hand them back to the system at once.

    A step's buffers are freed and asked for again thousands of times. Each time that they go back to the system and
    come again, every page of them has to be mapped anew, which takes longer than to fill it.

    Args:
        is_training: keep buffers of up to 1 GiB, 2 GiB in all, as a backward pass asks for many whole pair states;
            without, of up to 32 MiB, 256 MiB in all, for blocks. What was set for training stays.

    Returns:
        Whether the C library has taken the settings; False where it is not glibc, or one that allows less.
    """
    return _kept_for_training() if is_training or _kept_for_training.cache_info().currsize else _kept_for_inference()


@functools.cache
def _kept_for_training() -> bool:
    return _set_allocator(_MMAP_THRESHOLD, 1024 * _MIB) and _set_allocator(_TRIM_THRESHOLD, 2047 * _MIB)


@functools.cache
def _kept_for_inference() -> bool:
    return _set_allocator(_MMAP_THRESHOLD, 32 * _MIB) and _set_allocator(_TRIM_THRESHOLD, 256 * _MIB)


def share_one_heap() -> bool:
    """Let all threads of this process take memory from one heap, so that a long run holds less of it.

    Returns:
        Whether the C library took the setting; False where it is not glibc.
    """
    return _set_allocator(_ARENA_MAX, 1)


def _set_allocator(parameter: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(parameter, value))
