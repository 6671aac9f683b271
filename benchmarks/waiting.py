"""How threads of OpenMP wait for each other: as `zoo` has it, beside always asleep and torch's own way.

    python benchmarks/waiting.py [--rounds 3] [--most 20]

Three trainings of random tensors: 300 steps of a linear layer, 200 of a small head with batch norm, and 4 of resnet18
on 16 images of 112 x 112 pixels. Each way is a fresh process; they take turns, with nothing else to do and beside one
busy process and one a core. The least of three trainings counts in a process, and the median over the rounds. A way
that takes longer than --most seconds, imports not counted, is not waited for.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from measuring import environment
from zoo_core.devices.cores import WAITING

WAYS: Mapping[str, Mapping[str, str]] = {
    "as zoo has it": WAITING,
    "always asleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "torch's own": {},
}
TRAININGS = ("linear, 300 steps", "small head, 200 steps", "resnet18, 4 steps")


def main() -> None:
    parser = argparse.ArgumentParser(description="Trainings by the way in which threads wait for each other.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most", type=int, default=20, help="seconds (default 20)")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps([least(training) for training in trainings()]), flush=True)
        return
    print(environment("torch"))
    print(f"| busy processes | threads wait | {': ms | '.join(TRAININGS)}: ms |\n|---|---|---|---|---|")
    for busy in dict.fromkeys((0, 1, os.cpu_count() or 1)):
        with busy_processes(busy):
            found: dict[str, list[list[float] | None]] = {way: [] for way in WAYS}
            for _ in range(arguments.rounds):
                for way, results in found.items():
                    results.append(measured(WAYS[way], arguments.most))
        for way, results in found.items():
            ended = [one for one in results if one is not None]
            cells = [f"{statistics.median(column) * 1000:.0f}" for column in zip(*ended, strict=True)]
            cells = cells if len(ended) == len(results) else [f"more than {arguments.most} s in all"] * 3
            print(f"| {busy} | {way} | {' | '.join(cells)} |", flush=True)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measured(waiting: Mapping[str, str], most: int) -> list[float] | None:
    """The seconds of each training in a process of its own, None where that takes too long."""
    variables = {name: value for name, value in os.environ.items() if name not in WAITING}
    imports = 10 * (1 + (os.cpu_count() or 1))  # seconds; more on a busy machine
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--child"],
            env={**variables, **waiting}, stdout=subprocess.PIPE, timeout=most + imports, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    seconds: list[float] = json.loads(done.stdout)
    return seconds


def trainings() -> list[Callable[[], None]]:
    import torch
    from torch import nn
    from torchvision import models

    torch.manual_seed(0)
    features_BF = torch.randn(64, 512)
    images_BCHW = torch.randn(16, 3, 112, 112).contiguous(memory_format=torch.channels_last)
    head = nn.Sequential(nn.Linear(512, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 100))
    resnet = models.resnet18().train().to(memory_format=torch.channels_last)

    def training(network: nn.Module, inputs: torch.Tensor, steps: int) -> Callable[[], None]:
        def train() -> None:
            for _ in range(steps):
                network.zero_grad(set_to_none=True)
                network(inputs).square().mean().backward()

        return train

    networks = (nn.Linear(512, 10), features_BF, 300), (head, features_BF, 200), (resnet, images_BCHW, 4)
    return [training(*one) for one in networks]


def least(train: Callable[[], None]) -> float:
    train()
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        train()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
