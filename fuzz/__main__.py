"""`python -m fuzz --seconds 60`: do zoo's readers answer damaged inputs rightly, refuse them, or fail?

An answer is a result that agrees with the input, or a ZooError. Anything else is a crash: another
error, a wrong result, too much time or memory, a process that dies. Its input is kept in a file for
`--replay`, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from base64 import b64decode
from pathlib import Path

import torch

from fuzz.runner import Tally, attempt, blocks, input_of, prepared, run, warm_up
from fuzz.target import Target
from fuzz.targets import TARGETS

MOST_TOLD = 20  # crashes that the report lists


def main() -> int:
    options = _options()
    torch.set_num_threads(1)
    if options.list:
        return _list()
    if options.replay:
        return replay(options.replay)
    chosen = [TARGETS[name] for name in options.only or TARGETS]
    until = math.inf if options.seconds is None else time.monotonic() + options.seconds
    inputs = options.inputs
    if inputs is None and options.seconds is None:
        until = time.monotonic() + 60
    warm_up(chosen)
    started = time.monotonic()
    progress = _Progress(started, options.crashes)
    tallies = run(blocks(chosen, options.seed, inputs), jobs=options.jobs, until=until, tell=progress)
    crashes = [crash for tally in tallies.values() for crash in tally.crashes]
    print(report(tallies, seed=options.seed, seconds=time.monotonic() - started))
    for crash in crashes[:MOST_TOLD]:
        print(f"{crash.target}: {crash.error}\n  python -m fuzz --replay {progress.kept[crash.target, crash.number]}")
    return 1 if crashes else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Give damaged inputs to zoo's readers.")
    parser.add_argument("--list", action="store_true", help="list the targets with their bounds")
    parser.add_argument("--seed", type=int, default=0, help="another one tries other damage")
    parser.add_argument("--seconds", type=float, help="stop after so long; 60 without --inputs")
    parser.add_argument("--inputs", type=int, help="try so many inputs")
    parser.add_argument("--only", action="append", choices=sorted(TARGETS), metavar="TARGET", help="may be repeated")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try the input of a crash file again")
    parser.add_argument("--crashes", type=Path, default=Path(tempfile.gettempdir()) / "zoo-fuzz-crashes")
    return parser.parse_args()


def _list() -> int:
    for one in TARGETS.values():
        print(f"{one.name:<26} {one.seconds:>5g} s {one.mebibytes:>6} MiB   weight {one.weight}")
    return 0


def replay(file: Path) -> int:
    """Try the input of a crash file again, in this process. Returns the exit code."""
    crash = json.loads(file.read_text(encoding="utf-8"))
    one: Target = TARGETS[crash["target"]]
    with tempfile.TemporaryDirectory() as folder:
        case = prepared(one, Path(folder))
        content = input_of(case, one.name, crash["seed"], crash["number"])
        if crash["content"] is not None:
            content = b64decode(crash["content"])
        error = attempt(case, one, content, Tally())
    print(f"{one.name}: {error or 'no crash'}")
    return 1 if error else 0


class _Progress:
    """One line on a terminal that is written over, or a line a minute in a file. Crashes are kept as they come."""

    def __init__(self, started: float, folder: Path) -> None:
        self._started = self._told = started
        self._is_terminal = sys.stderr.isatty()
        self._folder = folder
        self.kept: dict[tuple[str, int], Path] = {}

    def __call__(self, tallies: dict[str, Tally]) -> None:
        for crash in (crash for tally in tallies.values() for crash in tally.crashes):
            if (crash.target, crash.number) not in self.kept:
                self.kept[crash.target, crash.number] = crash.save(self._folder)
        now = time.monotonic()
        if now - self._told < (2 if self._is_terminal else 60):
            return
        self._told = now
        inputs = sum(tally.inputs for tally in tallies.values())
        crashes = sum(len(tally.crashes) for tally in tallies.values())
        line = f"{inputs:,} inputs, {inputs / (now - self._started):.0f} a second, {crashes} crashes"
        print(f"\r{line} " if self._is_terminal else f"{line}\n", end="", file=sys.stderr, flush=True)


def report(tallies: dict[str, Tally], *, seed: int, seconds: float) -> str:
    """The figures of a run as a table."""
    head = ("target", "inputs", "accepted", "crashes", "ms each", "slowest ms", "MiB more")
    lines = ["{:<26} {:>9} {:>9} {:>8} {:>8} {:>11} {:>9}".format(*head)]
    for name, tally in tallies.items():
        lines.append(
            f"{name:<26} {tally.inputs:>9} {tally.accepted:>9} {len(tally.crashes):>8} "
            f"{1000 * tally.seconds / max(1, tally.inputs):>8.2f} {1000 * tally.slowest:>11.1f} {tally.mebibytes:>9.0f}"
        )
    inputs = sum(tally.inputs for tally in tallies.values())
    crashes = sum(len(tally.crashes) for tally in tallies.values())
    work = sum(tally.seconds for tally in tallies.values())
    lines.append(
        f"seed {seed}: {inputs} inputs, {crashes} crashes, {seconds:.0f} seconds; {inputs / max(work, 1e-9):.0f} inputs "
        "per second of a processor"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
