"""The decisions that need a trial on the machine: the batch size, whether compiling and tiles pay,
and the layout of a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from zoo_core.devices.kinds import kind_of
from zoo_core.devices.precision import autocast
from zoo_core.errors import TrainingError, is_out_of_memory
from zoo_core.tasks.objective import objective_for
from zoo_core.tiles.trained import may_suit
from zoo_core.tiles.trial import WORTH_IT, gain_of_tiles
from zoo_core.training.compiling import compiling_pays
from zoo_core.training.estimate import estimate
from zoo_core.training.resolve import USUAL_BATCH
from zoo_core.training.snapshot import before_forward
from zoo_core.training.step_layout import tune_step_layout
from zoo_core.training.threads import computing_with
from zoo_core.training.train_step import batch_norm_updates

if TYPE_CHECKING:
    from zoo_core.training.job import Job

LARGEST_BATCH = 512
STEPS_PER_EPOCH = 16  # fewer would be too few for the schedule of the learning rate
WORTH_DOUBLING = 1.1  # a batch twice as large has to be this much faster per image
TIMED_STEPS = 3
OPERATIONS = 6  # a multiply-accumulate is two, and gradients take twice as many as outputs
NO_TILES = (
    "--tiles all changes no training here: none computes 3 x 3 convolutions of many channels, uncompiled, in float32 on a "
    "CPU with AVX2 or AVX-512."
)
SLOW = 20  # billions of operations a second: hardly any machine in use for this does fewer


def autotune(job: Job) -> Job:
    """The job with a batch size, a step layout and tiles by trial and with compiling on or off,
    where its user left them open.

    The main process tries, with the threads of the training, and all processes take its decisions.
    The model is left as it was, but for its rules and its mode.
    """
    with computing_with(job.settings.threads, lambda text: None):
        return _tuned(job)


def _tuned(job: Job) -> Job:
    world, asked = job.world, job.config
    if asked.batch_size == "auto" and kind_of(job.device).is_accelerator:
        size = world.broadcast_object(tune_batch_size(job) if world.is_main else None)
        job = _decided(job, "batch_size", size, "it is the fastest per image of those tried")
        if asked.micro_batch is None:
            job = _decided(job, "micro_batch", size, job.settings.reasons["micro_batch"])
    job = _with_tiles(job)
    if asked.compile == "auto" and _trains_from_tiles(job):
        job = _decided(job, "compile", "off", "convolutions from tiles save more")
    elif asked.compile == "auto" and world.size > 1 and batch_norm_updates(job.model, job.plan):
        job = _decided(job, "compile", "off", "the batch norms of several processes share their statistics")
    elif asked.compile == "auto" and world.broadcast_object(_compiling_pays(job) if world.is_main else None):
        job = _decided(job, "compile", "on", "it saves more time than it takes")
    if asked.step_layout == "auto" and job.settings.compile == "off" and not kind_of(job.device).is_accelerator:
        trial = world.broadcast_object(tune_step_layout(job) if world.is_main else None)
        if trial is not None:
            job = _decided(job, "step_layout", trial.chosen, trial.because)
            if trial.fewer_threads and asked.threads is None:
                job = _decided(job, "threads", trial.fewer_threads, trial.because_of_threads)
            job = replace(job, notes=(*job.notes, *filter(None, [trial.note])))
    return job


def _decided(job: Job, name: str, value: Any, because: str) -> Job:
    """The job with another decision about one setting."""
    reasons = {**job.settings.reasons, name: because}
    settings = replace(job.settings, **{name: value, "reasons": reasons})
    return replace(job, settings=settings, decisions=settings.decisions)


def tune_batch_size(job: Job) -> int:
    """The number of images per step that a trial on the device finds fastest per image."""
    most = len(job.source.parts["train"]) // (STEPS_PER_EPOCH * job.world.size)
    return job.world.size * largest_worthwhile(lambda size: seconds_per_image(job, size), most)


def largest_worthwhile(trial: Callable[[int], float | None], most: int) -> int:
    """The largest batch of 32, 64, ... up to `most` that is worth its size.

    `trial` returns the seconds per image of a batch size, None when the memory does not hold it.
    """
    size, fastest = USUAL_BATCH, trial(USUAL_BATCH)
    while fastest is not None and 2 * size <= min(LARGEST_BATCH, most):
        seconds = trial(2 * size)
        if seconds is None or seconds * WORTH_DOUBLING > fastest:
            break
        size, fastest = 2 * size, seconds
    return size


def seconds_per_image(job: Job, size: int) -> float | None:
    """Seconds per image of training steps of this size, in the phase that trains the most stages.

    None when the memory does not hold them. The model is left as it was.
    """
    model, plan = job.model, job.plan
    model.apply_rules(plan.rules(min(plan.phases, key=plan.frozen_depth)))
    model.train()
    objective = objective_for(job.source.task, model.head)
    shape = size, job.preprocessing.channels, job.preprocessing.size, job.preprocessing.size
    put_back = None
    try:
        put_back = before_forward(model, job.device)
        targets = torch.from_numpy(job.source.parts["train"].targets[[0] * size]).to(job.device)
        images_BCHW = torch.zeros(shape, device=job.device).contiguous(memory_format=torch.channels_last)
        for number in range(1 + TIMED_STEPS):
            if number == 1:  # the first one costs extra
                started = _now(job.device)
            with autocast(job.settings.precision, job.device):
                outputs_BK = model(images_BCHW)
            objective.loss(outputs_BK.float(), targets).backward()  # type: ignore[no-untyped-call]
        return (_now(job.device) - started) / (TIMED_STEPS * size)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None
    finally:
        if put_back is not None:
            put_back()
        model.zero_grad(set_to_none=True)
        kind_of(job.device).release_memory()


def _now(device: torch.device) -> float:
    kind_of(device).wait(device)
    return time.perf_counter()


def _with_tiles(job: Job) -> Job:
    """The job with a decision about convolutions from tiles, by trial where its user left it
    open."""
    asked, world = job.config, job.world
    if not _may_train_from_tiles(job) or asked.compile == "on":
        return replace(job, notes=(*job.notes, NO_TILES)) if asked.tiles == "all" else job
    if asked.tiles != "auto":
        return job
    pays = world.broadcast_object(gain_of_tiles() >= WORTH_IT if world.is_main else None)
    compared = "faster" if pays else "no faster"
    because = f"training with them was {compared} in a short trial on this machine"
    return _decided(job, "tiles", "all" if pays else "frozen", because)


def _trains_from_tiles(job: Job) -> bool:
    return job.settings.trains_from_tiles and _may_train_from_tiles(job)


def _may_train_from_tiles(job: Job) -> bool:
    """Whether the job trains convolutions that suit, in float32 on a CPU."""
    if kind_of(job.device).is_accelerator or job.settings.precision != "float32":
        return False
    plan, backbone = job.plan, job.model.backbone
    trained = plan.stages[min(map(plan.frozen_depth, plan.phases)) :]
    return any(may_suit(module) for name in trained for module in backbone.stage(name).modules())


def _compiling_pays(job: Job) -> bool:
    """Whether compiling the trainable layers saves time.

    Where it would on a slow machine, a few images are sent through the network on this one.
    """
    spec, plan = job.backbone.spec, job.plan
    trains_stages = [plan.frozen_depth(phase) < len(plan.stages) for phase in plan.phases]
    if spec.gmacs is None or job.config.gradient_checkpointing:  # which the compiler cannot take
        return False
    area = (job.preprocessing.size / spec.preprocessing.size) ** 2
    at_most = OPERATIONS * spec.gmacs * area * len(job.source.parts["train"]) / SLOW
    layers = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in job.model.modules())

    def pays(seconds: list[float]) -> bool:
        by_phase = [one if trains else 0.0 for one, trains in zip(seconds, trains_stages, strict=True)]
        return compiling_pays(plan, layers, by_phase)

    if not pays([at_most] * len(trains_stages)):
        return False
    try:
        return pays([one.steps for one in estimate(job)])
    except TrainingError:  # no memory for the estimate: the training has ways to need less
        return False
