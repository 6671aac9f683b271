"""The memory of a CPU that torch frees and needs again a moment later.

The malloc of Linux (glibc) takes large tensors from the system one by one, and gives each back as
soon as it is freed. The next one is then made of new pages, which the system fills with zeros on
the first touch: in a training, a large part of the time (benchmarks/README.md). A thread beside the
first one has pieces of 64 MB of its own. A piece goes back as soon as it is empty, and a tensor that
does not fit into one goes back at once, whatever malloc was asked for.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zoo_core.devices.free_memory import free_memory

# The names and numbers of malloc.h, which mallopt(3) explains.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -3, -4, -8
KEPT = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1, ARENA_MAX: 1}
USUAL = {MMAP_MAX: 65_536, TRIM_THRESHOLD: 2**26, MMAP_THRESHOLD: 2**25}
"""The values that malloc comes to by itself in a process that has freed large tensors."""
OWN_CHOICES = (
    "MALLOC_ARENA_MAX",
    "MALLOC_ARENA_TEST",
    "MALLOC_MMAP_MAX_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "GLIBC_TUNABLES",
)
LEAST_FREE = 7e9  # bytes: a step of vgg16 took 6.2e9 in place of 4.3e9

_LOCK = threading.Lock()
_depth = 0


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep the memory that is freed in this context for what is allocated next; at its end the system
    gets back what nothing uses. Threads that start in it, and later, take their memory where the first
    one does, unless threads before them had memory of their own: malloc has no way back from that.

    Nothing changes under another system, with another malloc, where the environment says how malloc
    is to be, or where little memory is free, because free pieces between others take some.
    """
    global _depth
    mallopt, trim = _function("mallopt"), _function("malloc_trim")
    is_short = (free_memory() or 0) < LEAST_FREE
    if mallopt is None or trim is None or is_short or any(name in os.environ for name in OWN_CHOICES):
        yield
        return
    with _LOCK:
        _depth += 1
        if _depth == 1:
            _set(mallopt, KEPT)
    try:
        yield
    finally:
        with _LOCK:
            _depth -= 1
            if _depth == 0:
                _set(mallopt, USUAL)
                trim(0)


def _function(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


def _set(mallopt: Callable[..., int], values: dict[int, int]) -> None:
    for name, value in values.items():
        mallopt(name, value)
