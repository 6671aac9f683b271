"""The cores that this process may use: those of the machine, of its container, and of its share."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from zoo_core.devices.control_groups import control_groups

THREADS = "OMP_NUM_THREADS"
"""The variable from which torch takes the number of its threads, before it is imported."""
PROCESSES_HERE = "LOCAL_WORLD_SIZE"
"""The variable in which torchrun, and `--devices`, tell a process how many train on its machine."""

_limits = [sys.maxsize]
"""Of the cores that this process uses; the smallest holds."""


def usable_cores() -> int:
    """The number of cores that this process may use: of those that train together on a machine each
    has its share."""
    together = int(os.environ.get(PROCESSES_HERE, "1"))
    return max(1, min(min(_cores(), quota()) // together, *_limits))


def limit_cores(count: int) -> None:
    """Use so many cores at most, and one at least, from now on: processes beside this one have the
    others."""
    _limits.append(max(1, count))


def compute_within_share() -> None:
    """Let torch, which is to be imported yet, have no more threads than this process may use cores,
    unless the environment names a number. More would stop each other for most of the time."""
    if usable_cores() < _cores():
        os.environ.setdefault(THREADS, str(usable_cores()))


@cache
def quota(root: Path = Path("/")) -> int:
    """The cores of which a group of processes, such as a container, gets the time (Linux kernel,
    admin-guide/cgroup-v2), rounded up; sys.maxsize without such a limit. `root` has the system's
    files."""
    found = [sys.maxsize]
    for group in control_groups(root / "sys/fs/cgroup", root):
        with suppress(OSError, ValueError, ZeroDivisionError):  # not there, or without a limit: "max"
            most, period = map(int, (group / "cpu.max").read_text().split())
            found.append(-(-most // period))
    for group in control_groups(root / "sys/fs/cgroup/cpu", root):
        with suppress(OSError, ValueError, ZeroDivisionError):
            most, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            if most > 0:
                found.append(-(-most // period))
    return max(1, min(found))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
