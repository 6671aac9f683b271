"""What it saves to keep freed memory (zoo_core/devices/malloc.py): training steps and forward passes, with it and without.

    python benchmarks/freed.py [--networks resnet18 resnet50] [--work passes] [--rounds 3]

torchvision's networks with random weights and images of 224 x 224 pixels, channels last: steps of 32 images, and passes of
8 in evaluation mode, alone and by two threads at once, as a frozen prefix computes. Each measurement is a fresh process;
they take turns. The first two repetitions do not count. The peak is that of the resident set, libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

from measuring import environment, in_child

REPEATS = 5
THREADS = 2
BATCH = {"step": 32, "pass": 8, "passes": 8}


def main() -> None:
    parser = argparse.ArgumentParser(description="Steps and passes with freed memory kept, and without.")
    parser.add_argument("--networks", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--work", nargs="+", default=[*BATCH], choices=[*BATCH])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    print(environment("torch", "torchvision"))
    print("| network | | ms an image | kept | gain | gain in CPU seconds | peak MB | kept |")
    print("|---|---|---|---|---|---|---|---|")
    for network in arguments.networks:
        for work in arguments.work:
            pairs = [
                [in_child(__file__, network, work, how) for how in ("usual", "kept")] for _ in range(arguments.rounds)
            ]
            print(row(network, work, pairs), flush=True)


def row(network: str, work: str, pairs: list[list[dict[str, Any]]]) -> str:
    """A row of the table: medians, those of the ratios over the pairs."""

    def median(name: str, place: int) -> float:
        return statistics.median(float(pair[place][name]) for pair in pairs)

    gains = [statistics.median(usual[name] / kept[name] for usual, kept in pairs) for name in ("seconds", "cpu")]
    times = [f"{median('seconds', place) * 1000:.1f}" for place in (0, 1)]
    peaks = [f"{median('peak', place) / 1e6:,.0f}" for place in (0, 1)]
    return f"| {' | '.join([network, work, *times, *(f'{gain:.2f}' for gain in gains), *peaks])} |"


def child(network: str, work: str, how: str) -> None:
    """Measure, and print the seconds and CPU seconds an image, and the peak in bytes."""
    import torch
    from torchvision import models

    from zoo_core.devices.malloc import freed_memory_kept

    def once() -> None:
        if work == "step":
            module.zero_grad(set_to_none=True)
            module(images).square().mean().backward()
        elif work == "pass":
            answer(images)
        else:
            list(pool.map(answer, [images] * THREADS))

    def answer(images: torch.Tensor) -> None:
        with torch.inference_mode():
            module(images)

    with (
        freed_memory_kept()
        if how == "kept"
        else nullcontext(),  # before torch's threads have memory, as in the command
        ThreadPoolExecutor(THREADS, initializer=lambda: torch.set_num_threads(1)) as pool,
    ):
        module = models.get_model(network).to(memory_format=torch.channels_last).train(work == "step")
        images = torch.randn(BATCH[work], 3, 224, 224).contiguous(memory_format=torch.channels_last)
        once()
        once()
        started, busy = time.perf_counter(), sum(os.times()[:2])
        for _ in range(REPEATS):
            once()
        images_seen = REPEATS * BATCH[work] * (THREADS if work == "passes" else 1)
        seconds, cpu = time.perf_counter() - started, sum(os.times()[:2]) - busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds / images_seen, "cpu": cpu / images_seen, "peak": peak}))


if __name__ == "__main__":
    main()
