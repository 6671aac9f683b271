"""`python -m fuzz --seconds 60 [--seed N]`: what do zoo's readers make of damaged files?

Every answer must be a result or a ZooError. Anything else is a crash: the input is kept, told with its number, and the
exit code is 1. An input that hangs, or breaks the process, ends it with the place in the code.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.targets import Target, targets
from zoo_core.errors import ZooError

BATCH = 100  # inputs between two looks at the clock
LONGEST_SECONDS = 60  # that a batch may take before something hangs


@dataclass
class Tally:
    """What became of the inputs for one reader."""

    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    crashes: list[str] = field(default_factory=list)


def fuzz(readers: Sequence[Target], *, seconds: float, seed: int, folder: Path) -> dict[str, Tally]:
    """Give damaged files to the readers in turn until the time is over. Inputs that crash one stay in `folder`."""
    tallies = {reader.name: Tally() for reader in readers}
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        if number % BATCH == 0:
            faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True, file=sys.stderr)
        reader = readers[number % len(readers)]
        chance = random.Random(f"{seed}/{number}")
        content = reader.damage(chance.choice(reader.seeds), chance)
        _try(reader, content, tallies[reader.name], folder, f"{seed}-{number}")
        number += 1
    faulthandler.cancel_dump_traceback_later()
    return tallies


def _try(reader: Target, content: bytes, tally: Tally, folder: Path, name: str) -> None:
    path = folder / reader.file
    path.write_bytes(content)
    started = time.perf_counter()
    try:
        reader.read(path)
        tally.accepted += 1
    except ZooError:
        pass
    except Exception as error:
        kept = folder / f"crash-{name}-{reader.file}"
        path.replace(kept)
        tally.crashes.append(f"{type(error).__name__}: {error} ({kept})")
    finally:
        taken = time.perf_counter() - started
    tally.inputs += 1
    tally.seconds += taken
    tally.slowest = max(tally.slowest, taken)


def report(tallies: dict[str, Tally], *, seed: int, megabytes_before: float) -> str:
    """What came out, as a table."""
    lines = [f"{'reader':<18} {'inputs':>8} {'accepted':>9} {'seconds':>8} {'slowest ms':>11} {'crashes':>8}"]
    for name, tally in tallies.items():
        lines.append(
            f"{name:<18} {tally.inputs:>8} {tally.accepted:>9} {tally.seconds:>8.1f} {1000 * tally.slowest:>11.1f} "
            f"{len(tally.crashes):>8}"
        )
    inputs = sum(tally.inputs for tally in tallies.values())
    crashes = [crash for tally in tallies.values() for crash in tally.crashes]
    lines.append(
        f"seed {seed}: {inputs} inputs, {len(crashes)} crashes; peak memory {_megabytes():.0f} MiB, "
        f"of which {megabytes_before:.0f} MiB before the first input"
    )
    return "\n".join([*lines, *crashes[:20]])


def silence_libraries() -> None:
    """Let C libraries write their complaints to nowhere; what Python and the fault handler write stays."""
    sys.stderr = os.fdopen(os.dup(2), "w")
    faulthandler.enable(sys.stderr)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _megabytes() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Give damaged files to zoo's readers.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="another one tries other damage")
    arguments = parser.parse_args()
    silence_libraries()
    folder = Path(tempfile.mkdtemp(prefix="zoo-fuzz-"))
    readers = targets(folder)
    before = _megabytes()
    tallies = fuzz(readers, seconds=arguments.seconds, seed=arguments.seed, folder=folder)
    print(report(tallies, seed=arguments.seed, megabytes_before=before))
    crashed = any(tally.crashes for tally in tallies.values())
    if not crashed:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    sys.exit(1 if crashed else 0)


if __name__ == "__main__":
    main()
