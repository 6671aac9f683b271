"""How long `zoo list` takes, beside a Python that does nothing and timm's list of models.

    python benchmarks/startup.py [--rounds 15]

Every measurement is a fresh process. The commands take turns, so that what the machine does meanwhile falls on all of
them. timm has to be installed for its row: `pip install timm`.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

NOTHING, ZOO, TIMM = "python -c pass", "zoo list", "timm.list_models()"
COMMANDS = {
    NOTHING: [sys.executable, "-c", "pass"],
    ZOO: [str(Path(sys.executable).with_name("zoo")), "list"],
    TIMM: [sys.executable, "-c", "import timm; timm.list_models()"],
}
TARGET = 0.15  # seconds that `zoo list` may take over a Python that does nothing


def main() -> None:
    parser = argparse.ArgumentParser(description="Time `zoo list` in fresh processes.")
    parser.add_argument("--rounds", type=int, default=15, help="how often each command runs (default 15)")
    rounds = parser.parse_args().rounds
    commands = dict(COMMANDS)
    if importlib.util.find_spec("timm") is None:
        print("timm is not installed: its row is left out. `pip install timm` brings it.")
        del commands[TIMM]
    for command in commands.values():  # one that does not count: files into memory, bytecode onto disk
        seconds_of(command)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            seconds[name].append(seconds_of(command))
    report(seconds, rounds)


def seconds_of(command: list[str]) -> float:
    """Wall-clock seconds of one process, from its start to its end."""
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    taken = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"`{' '.join(command)}` failed:\n{done.stderr}")
    return taken


def report(seconds: dict[str, list[float]], rounds: int) -> None:
    print(f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores, {rounds} rounds")
    print(f"{'':<22}{'median s':>10}{'fastest':>10}{'slowest':>10}")
    for name, values in seconds.items():
        print(f"{name:<22}{statistics.median(values):>10.3f}{min(values):>10.3f}{max(values):>10.3f}")
    extra = paired(seconds[ZOO], seconds[NOTHING], lambda ours, theirs: ours - theirs)
    environment = "reached" if extra <= TARGET else "missed"
    print(f"\n`zoo list` takes {extra:.3f} s more than `{NOTHING}`; the target of {TARGET} s is {environment}.")
    if TIMM in seconds:
        ratio = paired(seconds[TIMM], seconds[ZOO], lambda theirs, ours: theirs / ours)
        print(f"`{TIMM}` takes {ratio:.1f} times as long as `zoo list`.")


def paired(left: list[float], right: list[float], compare: Callable[[float, float], float]) -> float:
    """The median over the rounds: each compares two processes that ran one after the other."""
    return statistics.median(compare(one, other) for one, other in zip(left, right, strict=True))


if __name__ == "__main__":
    main()
