"""The choice of the trial of a step's layout, and its loss against the best layout there is.

    python benchmarks/layouts.py PHOTOS [--backbones resnet18,resnet50] [--strategy full] [--rounds 2] [--images 32] [--busy]

PHOTOS is a folder; JPEGs are made there where it has none. Each network takes real training steps in every layout, in
turns, on random numbers; the shortest CPU seconds count. Before them the trial is made three times, as `zoo finetune`
makes it; `--rounds 0` makes nothing else. With `ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2` the processor's
AVX-512 is masked.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch

import zoo_core
from measuring import environment, make_photos
from zoo_core.catalog import open_catalog
from zoo_core.devices.kinds import kind_of
from zoo_core.devices.world import World
from zoo_core.settings.words import USUAL_LAYOUT, StepLayout
from zoo_core.training import step_layout
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import Job, prepare
from zoo_core.training.setup import make_planner, make_trainer
from zoo_core.training.stopping import StopRequest
from zoo_core.training.train_step import Batch, TrainStep

LAYOUTS = [layout for layout in get_args(StepLayout) if layout != "auto"]
TRIALS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the choice of the trial of a step's layout.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--backbones", default="resnet18,resnet50,efficientnet_lite0,timm-vit_small_patch16_224")
    parser.add_argument("--strategy", default="full")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--busy", action="store_true", help="the trial counts CPU seconds: other work runs beside it")
    given = parser.parse_args()
    if given.busy:
        step_layout.CLOCK = time.process_time
    make_photos(given.photos, train=200, val=8)
    print(environment("torch"), torch.backends.cpu.get_cpu_capability(), f"{torch.get_num_threads()} threads")
    print(f"| network | trials | {' | '.join(LAYOUTS)} | bfloat16 | chosen / best |")
    print("|---" * (len(LAYOUTS) + 4) + "|")
    for name in given.backbones.split(","):
        config = zoo_core.FinetuneConfig(
            backbone=name, weights="none", strategy=given.strategy, data=str(given.photos), epochs=100,
            batch_size=given.images, compile="off", step_layout=USUAL_LAYOUT,
        )  # fmt: skip
        print(row(name, prepare(config, open_catalog()), given.rounds), flush=True)


def row(name: str, job: Job, rounds: int) -> str:
    """A line of the table: the trials' choices with their seconds, and milliseconds an image by layout."""
    tried = [trial(job) for _ in range(TRIALS)]
    step = opened(job)
    # Where batch norm takes statistics, a batch is always computed whole.
    layouts = [layout for layout in LAYOUTS if layout.endswith(":8") or not step.batch_norm_updates]
    steps = {layout: replaced(step, step_layout=layout, precision="float32") for layout in layouts}
    if kind_of(job.device).has_bfloat16_units:
        steps["bfloat16"] = replaced(step, precision="bfloat16")
    whole = (job.preprocessing.channels, job.preprocessing.size, job.preprocessing.size)
    shape = job.shapes[step.split] if step.split.stages else whole
    images = torch.randn(job.settings.batch_size, *shape)
    images = images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images  # not tokens
    batch = Batch(images, torch.zeros(len(images), dtype=torch.int64), len(images))
    shortest: dict[str, float] = {}
    for number in range(rounds + 1 if rounds else 0):
        for layout, made in steps.items():
            made.tail.to(memory_format=made.layout.memory_format)
            started = time.process_time()
            made.accumulate_gradients(batch)
            seconds = time.process_time() - started
            if number:  # the first time costs extra
                shortest[layout] = min(seconds, shortest.get(layout, seconds))
    best = min((shortest[layout] for layout in layouts if shortest), default=0.0)
    choices = dict.fromkeys(chosen for chosen, _, _ in tried)
    lost = ", ".join(f"{shortest[chosen] / best:.2f}" for chosen in choices if shortest)
    told = ", ".join(f"{words} ({seconds:.1f} s)" for _, words, seconds in tried)
    columns = [f"{1000 * shortest[one] / len(images):.1f}" if one in shortest else "" for one in (*LAYOUTS, "bfloat16")]
    return f"| {name} | {told} | {' | '.join(columns)} | {lost} |"


def trial(job: Job) -> tuple[str, str, float]:
    """The choice of a trial with an empty cache, the layouts that it tried, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = folder
        started = step_layout.CLOCK()
        found = step_layout.tune_step_layout(job)
        assert found is not None
        tried = f"{found.chosen if found.images else 'none tried'}, {len(found.seconds)} on {found.images}"
        return found.chosen, tried, step_layout.CLOCK() - started


def opened(job: Job) -> TrainStep:
    """The train step of the phase that trains the most stages."""
    planner = make_planner(job, World(), NullCallback().message)
    trainer = make_trainer(job, planner, NullCallback(), StopRequest(), save=lambda number, checkpoint: None)
    return trainer.enter_phase(len(job.plan.phases) - 1).step


def replaced(step: TrainStep, **settings: Any) -> TrainStep:
    """The same step with other settings."""
    return replace(step, config=replace(step.config, **settings), micro_batch=None)


if __name__ == "__main__":
    main()
