"""The number of threads that compute on a CPU.

torch takes one for each core. Where cores are of two kinds, or share their units, half as many may
be faster; where other programs compute, that is no property of the machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from zoo_core.devices.cores import THREADS, named_by_user, quota, usable_cores
from zoo_core.wording import counted

LOADS = Path("/proc/loadavg")
LOOKS, PAUSE = 5, 0.004  # seconds: the threads of an earlier computation have gone to sleep by then
THEIRS = (THREADS, "MKL_NUM_THREADS")
"""Variables by which a user decides the number."""


def usual_threads() -> int:
    """torch's own number, and no more than the cores of which a container gets the time; the user's
    where the environment names one."""
    own = torch.get_num_threads()
    return own if any(name in os.environ for name in THEIRS) else min(own, quota())


def fewer_threads() -> int:
    """The other number of threads that is worth a trial: half of torch's, 0 where there is none,
    the user has decided, or other programs compute now."""
    half = torch.get_num_threads() // 2
    return half if half and not any(name in os.environ for name in THEIRS) and is_idle() else 0


def is_idle() -> bool:
    """Whether nothing but this program computes on this machine now; False where the system does
    not tell."""
    with suppress(OSError, ValueError, IndexError):
        for _ in range(LOOKS):
            time.sleep(PAUSE)
            running, _, _ = LOADS.read_text(encoding="ascii").split()[3].partition("/")
            if int(running) <= 1:  # this thread
                return True
    return False


def threads_of_run(began_with: int | None, usual: int, message: Callable[[str], None]) -> int:
    """The threads of a resumed run that named none: those that it began with, so that it ends with
    the same bytes; the `usual` ones here where the environment names a number, which `message`
    hears, and for a run that recorded none."""
    if not began_with or began_with == usual:
        return usual
    theirs = named_by_user(THEIRS)
    if theirs is None:
        return began_with
    message(f"the run began with {counted(began_with, 'thread')}, and {theirs} says {usual}: last bits may differ")
    return usual


@contextmanager
def computing_with(threads: int, message: Callable[[str], None]) -> Iterator[None]:
    """Compute with so many threads in this block, or with as many as there are cores where these
    are fewer, which `message` hears."""
    before, cores = torch.get_num_threads(), usable_cores()
    if threads > max(before, cores):
        message(f"{threads} threads are more than the cores here: computing with {cores}; last bits may differ")
        threads = cores
    if threads != before:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if threads != before:
            torch.set_num_threads(before)
