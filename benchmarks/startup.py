"""How long `zoo list` takes, beside a Python that does nothing and timm's list of models.

    python benchmarks/startup.py [--rounds 15] [--backbones 1500 5000]

Every measurement is a fresh process. The commands take turns, so that what the machine does meanwhile falls on all of
them. timm has to be installed for its row: `pip install timm`. With `--backbones` a plugin of so many specs, each with two
weights, is installed beside the others for a row of its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

NOTHING, ZOO, TIMM = "python -c pass", "zoo list", "timm.list_models()"
COMMANDS = {
    NOTHING: [sys.executable, "-c", "pass"],
    ZOO: [str(Path(sys.executable).with_name("zoo")), "list"],
    TIMM: [sys.executable, "-c", "import timm; timm.list_models()"],
}
PLUGIN = """
from zoo_core import BackboneSpec, HubFile, Preprocessing, WeightsRef, hookimpl

P = Preprocessing(size=224, mean=(0.5,) * 3, std=(0.5,) * 3)

def weights(name, tag):
    source = HubFile(repo=f"someone/{{name}}.{{tag}}")
    return WeightsRef(tag=tag, sources=(source,), preprocessing=P, data="ImageNet-1k", licence="mit", classes="imagenet-1k")

@hookimpl
def zoo_backbones():
    return [
        BackboneSpec(
            name=f"many-{{n}}", build="many:build", stages=("stem", "a", "b", "c", "d"), channels=8, stride=32, min_size=32,
            year=2020, params=10**6 + n, family=f"family-{{n // 20}}", preprocessing=P,
            weights=(weights(f"many-{{n}}", "one"), weights(f"many-{{n}}", "two")),
        )
        for n in range({count})
    ]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time `zoo list` in fresh processes.")
    parser.add_argument("--rounds", type=int, default=15, help="how often each command runs (default 15)")
    parser.add_argument("--backbones", type=int, nargs="*", default=[], help="rows with so many more backbones")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(
            arguments.rounds, {f"{ZOO}, {count:,} more": install(Path(folder), count) for count in arguments.backbones}
        )


def install(folder: Path, count: int) -> dict[str, str]:
    """Put a plugin of so many specs on an import path; return the environment that has it, with a cache of its own."""
    site = folder / str(count)
    facts = site / "zoo_many-1.dist-info"
    facts.mkdir(parents=True)
    (site / "many.py").write_text(PLUGIN.format(count=count))
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-many\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[zoo]\nmany = many\n")
    return {"PYTHONPATH": str(site), "ZOO_CACHE": str(folder / f"{count}-cache")}


def measure(rounds: int, more: dict[str, dict[str, str]]) -> None:
    commands = {**COMMANDS, **dict.fromkeys(more, COMMANDS[ZOO])}
    if importlib.util.find_spec("timm") is None:
        print("timm is not installed: its row is left out. `pip install timm` brings it.")
        del commands[TIMM]
    for command in commands.values():  # one that does not count: files into memory, bytecode onto disk
        seconds_of(command)
    for environment in more.values():  # remembers the rows
        seconds_of(COMMANDS[ZOO], environment)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            seconds[name].append(seconds_of(command, more.get(name)))
    report(seconds, rounds)


def seconds_of(command: list[str], environment: dict[str, str] | None = None) -> float:
    """Wall-clock seconds of one process, from its start to its end."""
    start = time.perf_counter()
    here = {**os.environ, **(environment or {})}
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=here)
    taken = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"`{' '.join(command)}` failed:\n{done.stderr}")
    return taken


def report(seconds: dict[str, list[float]], rounds: int) -> None:
    print(f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores, {rounds} rounds")
    print(f"{'':<26}{'median s':>10}{'fastest':>10}{'slowest':>10}")
    for name, values in seconds.items():
        print(f"{name:<26}{statistics.median(values):>10.3f}{min(values):>10.3f}{max(values):>10.3f}")
    for name in seconds:
        if name.startswith(ZOO):
            extra = paired(seconds[name], seconds[NOTHING], lambda ours, theirs: ours - theirs)
            print(f"\n`{name}` takes {extra:.3f} s more than `{NOTHING}`.", end="")
    print()
    if TIMM in seconds:
        ratio = paired(seconds[TIMM], seconds[ZOO], lambda theirs, ours: theirs / ours)
        print(f"`{TIMM}` takes {ratio:.1f} times as long as `zoo list`.")


def paired(left: list[float], right: list[float], compare: Callable[[float, float], float]) -> float:
    """The median over the rounds: each compares two processes that ran one after the other."""
    return statistics.median(compare(one, other) for one, other in zip(left, right, strict=True))


if __name__ == "__main__":
    main()
