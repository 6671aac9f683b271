"""How much of a processor a fine-tune uses: images a second, and floating-point operations against the device's best.

    python benchmarks/utilisation.py PHOTOS [--backbone resnet50] [--strategy full] [--batch-size 32] [--device auto]

PHOTOS is a folder; JPEGs of 500 x 375 pixels are made there where it has none. The fine-tune is a real one, from files to
weights; its first epoch, which decodes and warms up, does not count. Operations are those of the network's forward pass and
of its gradients, counted by torch, so folding and other savings do not count as work. The device's best is what a product
of two large matrices reaches in the same precision. On a GPU, also the most memory that was in use.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import zoo_core
from measuring import environment, make_photos
from zoo_core.catalog import open_catalog
from zoo_core.runs.epochs import EpochReport
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import Job, prepare
from zoo_core.training.run import run_job

SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices: large enough to reach the device's best
TRIES = 10


class Times(NullCallback):
    """Notes when the steps of an epoch ended; on a GPU the first and the last full one are waited for."""

    def __init__(self) -> None:
        self.steps: list[list[float]] = [[]]

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        if step in (1, steps - 1) and torch.cuda.is_available():
            torch.cuda.synchronize()
        self.steps[-1].append(time.perf_counter())

    def on_epoch(self, report: EpochReport) -> None:
        self.steps.append([])


def main() -> None:
    parser = argparse.ArgumentParser(description="Images a second and the share of the device's best.")
    parser.add_argument("photos", type=Path, help="a folder of JPEGs, made where there are none")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--strategy", default="full")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--train", type=int, default=256, help="training images (default 256)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compile", default="off")
    arguments = parser.parse_args()
    make_photos(arguments.photos, train=arguments.train, val=8)
    with tempfile.TemporaryDirectory() as folder:
        config = zoo_core.FinetuneConfig(
            backbone=arguments.backbone,
            weights="none",
            strategy=arguments.strategy,
            data=str(arguments.photos),
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            device=arguments.device,
            precision=arguments.precision,
            compile=arguments.compile,
            out=f"{folder}/run",
        )
        job = prepare(config, open_catalog())
        operations = operations_an_image(job)
        times = Times()
        run_job(job, times)
    images = images_a_second(times, arguments.batch_size)
    best = best_operations(job)
    print(environment("torch", "torchvision") + f", {device_name(job.device)}, {job.settings.precision}")
    print(f"{arguments.backbone}, {job.strategy}, batches of {arguments.batch_size}, {arguments.train} images\n")
    print(f"images a second          {images:>12,.1f}")
    print(f"operations an image      {operations / 1e9:>12,.2f} billion")
    print(f"operations a second      {images * operations / 1e9:>12,.1f} billion")
    print(f"a product of matrices    {best / 1e9:>12,.1f} billion a second")
    print(f"share of it              {100 * images * operations / best:>12,.1f} %")
    if job.device.type == "cuda":
        print(f"most memory in use       {torch.cuda.max_memory_allocated(job.device) / 1e6:>12,.1f} MB")


def operations_an_image(job: Job) -> float:
    """Floating-point operations of a forward pass of the whole network, and of the gradients of what learns."""
    count, size = 2, job.preprocessing.size
    job.model.apply_rules(job.plan.rules(job.plan.phases[0]))
    images_BCHW = torch.zeros(count, job.preprocessing.channels, size, size, device=job.device)
    with FlopCounterMode(display=False) as counter:
        job.model.eval()(images_BCHW).sum().backward()
    job.model.zero_grad(set_to_none=True)
    total: int = counter.get_total_flops()
    return total / count


def images_a_second(times: Times, batch_size: int) -> float:
    """Of the fastest epoch after the first, from the end of its first step to the end of its last full one."""
    rates: list[float] = []
    for stamps in times.steps[1:]:
        if len(stamps) > 2:
            rates.append((len(stamps) - 2) * batch_size / (stamps[-2] - stamps[0]))
    return max(rates)


def best_operations(job: Job) -> float:
    """Operations a second of a product of two square matrices, the fastest of several."""
    dtype = getattr(torch, job.settings.precision)
    side = SIDE[job.device.type]
    left, right = (torch.rand(side, side, device=job.device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(TRIES):
        started = time.perf_counter()
        torch.mm(left, right)
        if job.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
