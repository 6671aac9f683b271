"""The trainings of a GPU against those of a CPU, and its speed, in order of worth, within some minutes.

    python benchmarks/accelerator.py [--minutes 8] [--out accelerator] [--parts full,frozen] [--device auto]

or `python -m benchmarks.accelerator` in a checkout. Packages that are missing are named before anything starts: zoo with
zoo-lenet, zoo-efficientnet-lite and zoo-resnet is needed, zoo-lora, zoo-timm and timm are for some parts. After each
part it writes what it has to OUT.json and OUT.md. A part that fails is told with its error, and the others go on; one
for which no time is left is named, and one that is at work when the time ends is stopped. On a CPU every part goes
through a tiny network, to see that the command works: that shows nothing of a GPU, and the report says so.
`--out benchmarks/accelerator` holds the result, from which the documentation speaks.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # `python -m benchmarks.accelerator` has the checkout there

from accelerator_needs import HOW, lacks

LEAST_SECONDS = 20  # that a part needs


class TimeIsOver(BaseException):
    """No error of a training, which might be caught there."""


@contextmanager
def until(ends: float) -> Iterator[None]:
    """Raise TimeIsOver in this block at its end, a time of the monotonic clock; where signals can, and not on Windows."""

    def stop(number: int, frame: object) -> None:
        raise TimeIsOver

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(0.001, ends - time.monotonic()))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure what a GPU computes and how fast.")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--out", type=Path, default=Path("accelerator"))
    parser.add_argument("--parts", help="some of them, separated by commas (default: all, in order of worth)")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args(arguments)
    ends = time.monotonic() + 60 * given.minutes
    missing, of_parts = lacks(given.parts.split(",") if given.parts else None)
    for part, faults in of_parts.items():
        print(f"without the part {part}: {', '.join(faults)}", flush=True)
    if missing:
        raise SystemExit(f"this cannot start: {', '.join(missing)}.\n{HOW}")
    run(given.parts.split(",") if given.parts else None, given.device, given.out, ends, of_parts)


def run(names: Sequence[str] | None, device: str, out: Path, ends: float, lacking: Mapping[str, Sequence[str]]) -> None:
    """Go through some parts, or all, until a time of the monotonic clock."""
    from accelerator_bench import Bench
    from accelerator_parts import PARTS

    from zoo_core.devices.find import find_device

    unknown = [name for name in names or () if name not in PARTS]
    if unknown:
        raise SystemExit(f"there are no parts {', '.join(unknown)}. Use {', '.join(PARTS)}.")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = f"{folder}/cache"
        bench = Bench(str(find_device(device)), Path(folder), out, ends)
        for name in names or PARTS:
            bench.part = name
            started = time.monotonic()
            if name in lacking:
                bench.not_shown(name, ", ".join(lacking[name]))
            elif ends - started < LEAST_SECONDS:
                bench.not_shown(name, "no time was left")
            else:
                try:
                    with until(ends):
                        PARTS[name](bench)
                except TimeIsOver:
                    bench.not_shown(f"{name}, to its end", "the time was over")
                except Exception as error:  # of this part alone
                    traceback.print_exc()
                    bench.tell(name, f"failed: {type(error).__name__}: {str(error)[:300]}", holds=False)
                print(f"{name}: {time.monotonic() - started:.1f} s", flush=True)
        print("\n".join(bench.limits))


if __name__ == "__main__":
    main()
