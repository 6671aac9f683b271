"""The cores that this process may use: those of the machine, of its container, and of its share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from zoo_core.devices.control_groups import control_groups

THREADS = "OMP_NUM_THREADS"
"""The variable from which torch takes the number of its threads, before it is imported."""
SHARING = "ZOO_SHARING"
"""The variable in which `--devices` tells its processes how many of them share the cores. Those of
torchrun, which may bind each to cores of its own, have torchrun's number of threads."""

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
"""The variables by which OpenMP's threads wait for each other some microseconds at full speed, and
then asleep. Always asleep, a small network trains nearly three times as slowly; never asleep, a busy
machine comes to a crawl (`benchmarks/waiting.py`)."""

_chosen: dict[str, str] = {}
"""The variables that this process has set for itself."""
_limits = [sys.maxsize]
"""Of the cores that this process uses; the smallest holds."""


def usable_cores() -> int:
    """The number of cores that this process may use: each of those that `--devices` starts has its
    share."""
    return max(1, min(min(_cores(), quota()) // _sharing(), *_limits))


def limit_cores(count: int) -> None:
    """Use so many cores at most, and one at least, from now on: processes beside this one have the
    others."""
    _limits.append(max(1, count))


def compute_within_share() -> None:
    """Let torch, which is to be imported yet, have no more threads than this process may use cores,
    unless the environment names a number. More would stop each other for most of the time."""
    if usable_cores() < _cores() and THREADS not in os.environ:
        os.environ[THREADS] = _chosen[THREADS] = str(usable_cores())


def wait_briefly() -> None:
    """Let threads of torch, which is to be imported yet, wait as in `WAITING`, unless the environment
    says how they wait."""
    if not WAITING.keys() & os.environ.keys():
        os.environ.update(WAITING)


def named_by_user(variables: Iterable[str]) -> str | None:
    """The first of these variables that the environment has, and this process has not set itself."""
    return next((name for name in variables if name in os.environ and _chosen.get(name) != os.environ[name]), None)


def environment_of(processes: int) -> dict[str, str]:
    """The environment of each of so many processes that share the cores of this one: a number of
    threads that was chosen here is not theirs."""
    kept = {name: value for name, value in os.environ.items() if _chosen.get(name) != value}
    return {**kept, SHARING: str(processes)}


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


def _sharing() -> int:
    """How many processes share the cores: one where the variable is no such number."""
    given = os.environ.get(SHARING, "")
    return max(1, int(given)) if given.isdecimal() else 1


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
