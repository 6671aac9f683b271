"""What pretrained weights are worth on few images: a frozen pretrained base against the same network from scratch.

    python benchmarks/stamps.py STAMPS
    python benchmarks/transfer.py STAMPS [--backbone efficientnet_lite0] [--epochs 10] [--seeds 3]

For each seed the images are split once, and both sides get the same split, the same settings and, as far as one epoch
allows, the same wall-clock time. The frozen side runs first (`zoo finetune --backbone B --data STAMPS`): its metrics
say how many seconds it trained. Two epochs of the other side (`--weights none --strategy full`) tell how long one of
them takes, and it gets the largest number of epochs that fits into those seconds, at least 1. Seconds are the epochs'
own, training and validation, and of the frozen side the pass through the frozen base, whose outputs are kept; the start
of the process and the reading of weights are not in them.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision

import zoo_core
from zoo_core.errors import ZooError
from zoo_core.runs.directory import read_metrics
from zoo_core.training.result import Result

FROZEN, SCRATCH = "frozen base", "from scratch"
LINE = "{:<6}{:<14}{:>7}{:>10}{:>18}{:>11}{:>9}"


@dataclass(frozen=True)
class RunEvaluation:
    """One run's accuracy on the held-out images and what its epochs took."""

    epochs: int
    correct: int
    images: int
    accuracy: float
    interval: tuple[float, float]
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare a frozen pretrained base with the same network from scratch.")
    parser.add_argument("stamps", type=Path, help="the folder of classes that stamps.py made, or any other")
    parser.add_argument(
        "--backbone", default="efficientnet_lite0", help="a pretrained one (default efficientnet_lite0)"
    )
    parser.add_argument("--epochs", type=int, default=10, help="epochs of the frozen side (default 10)")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3: 0, 1, 2)")
    arguments = parser.parse_args()
    print(f"zoo {zoo_core.__version__}, torch {torch.__version__}, torchvision {torchvision.__version__}, ", end="")
    print(f"Python {platform.python_version()}, {torch.get_num_threads()} threads, {arguments.backbone}\n")
    print(LINE.format("seed", "side", "epochs", "accuracy", "95 % interval", "correct", "seconds"))
    results: dict[str, list[RunEvaluation]] = {FROZEN: [], SCRATCH: []}
    try:
        for seed in range(arguments.seeds):
            frozen = run(arguments, seed, epochs=arguments.epochs)
            show(seed, FROZEN, frozen)
            scratch = run(arguments, seed, epochs=epochs_within(frozen.seconds, arguments, seed), scratch=True)
            show(seed, SCRATCH, scratch)
            results[FROZEN].append(frozen)
            results[SCRATCH].append(scratch)
    except ZooError as error:
        raise SystemExit(f"error: {error}") from None
    summary(results)


def epochs_within(seconds: float, arguments: argparse.Namespace, seed: int) -> int:
    """How many epochs from scratch fit into these seconds, at least 1. The first epoch warms up; the second counts."""
    with tempfile.TemporaryDirectory() as folder:
        tried = finetune(arguments, seed, epochs=2, scratch=True, out=f"{folder}/run")
        lines = read_metrics(tried.directory)
    one: float = [line["seconds"] for line in lines if line["event"] == "epoch"][-1]
    return max(1, math.floor(seconds / one))


def run(arguments: argparse.Namespace, seed: int, *, epochs: int, scratch: bool = False) -> RunEvaluation:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = f"{folder}/cache"  # nothing is known from before
        result = finetune(arguments, seed, epochs=epochs, scratch=scratch, out=f"{folder}/run")
        last = read_metrics(result.directory)[-1]
    return RunEvaluation(
        epochs, last["correct"], last["images"], last["accuracy"], tuple(last["interval"]), last["seconds"]
    )


def finetune(arguments: argparse.Namespace, seed: int, *, epochs: int, scratch: bool, out: str) -> Result:
    settings: dict[str, Any] = {"weights": "none", "strategy": "full"} if scratch else {}
    config = zoo_core.FinetuneConfig(
        backbone=arguments.backbone, data=str(arguments.stamps), epochs=epochs, seed=seed, out=out, **settings
    )
    return zoo_core.finetune(config)


def show(seed: int, side: str, one: RunEvaluation) -> None:
    low, high = one.interval
    between = f"{100 * low:.1f} to {100 * high:.1f} %"
    counted = f"{one.correct}/{one.images}"
    cells = (seed, side, one.epochs, f"{100 * one.accuracy:.1f} %", between, counted, f"{one.seconds:.1f}")
    print(LINE.format(*cells), flush=True)


def summary(results: dict[str, list[RunEvaluation]]) -> None:
    mean = {side: statistics.mean(one.accuracy for one in runs) for side, runs in results.items()}
    seconds = {side: statistics.mean(one.seconds for one in runs) for side, runs in results.items()}
    print()
    for side in results:
        print(f"{side}: mean accuracy {100 * mean[side]:.1f} % in {seconds[side]:.1f} s")
    if mean[FROZEN] < 1:
        ratio = (1 - mean[SCRATCH]) / (1 - mean[FROZEN])
        longer = seconds[SCRATCH] / seconds[FROZEN]
        print(f"{SCRATCH} makes {ratio:.1f} times as many mistakes in {longer:.1f} times the time.")
    gain = 100 * (mean[FROZEN] - mean[SCRATCH])
    print(f"{FROZEN} is right {gain:.1f} percentage points more often.")


if __name__ == "__main__":
    main()
