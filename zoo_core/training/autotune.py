"""What a run finds out by trial on the machine that it runs on: its batch size, and whether compiling pays."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from zoo_core.devices.precision import autocast
from zoo_core.devices.world import World
from zoo_core.tasks.objective import objective_for
from zoo_core.training.compiling import compiling_pays
from zoo_core.training.estimate import estimate
from zoo_core.training.job import Job
from zoo_core.training.memory import is_out_of_memory
from zoo_core.training.snapshot import before_forward

USUAL_BATCH, LARGEST_BATCH = 32, 512
STEPS_AN_EPOCH = 16  # fewer would be too few for the schedule of the learning rate
WORTH_IT = 1.1  # a batch twice as large has to be this much faster an image
TIMED_STEPS = 3
OPERATIONS = 6  # a multiply-accumulate is two, and the gradients take twice as many as the outputs
SLOW = 20  # billions of operations a second: hardly any machine that is used for this does fewer


def autotune(job: Job, world: World, message: Callable[[str], None]) -> Job:
    """The job with a number for a batch size of "auto", and with "on" or "off" for a compile of "auto".

    All processes get what the first one found.
    """
    config = job.config
    if config.batch_size == "auto":
        config = replace(
            config, batch_size=world.broadcast_object(tune_batch_size(job, world.size) if world.is_main else None)
        )
        message(f"batch size by trial: {config.batch_size}")
        job = replace(job, config=config)
    if config.compile == "auto":
        pays = bool(world.broadcast_object(_compiling_pays(job) if world.is_main else None))
        job = replace(job, config=replace(config, compile="on" if pays else "off"))
    return job


def tune_batch_size(job: Job, processes: int = 1) -> int:
    """How many images a step should see: on a device what a trial finds, on a CPU, where more are no faster, 32."""
    if job.device.type == "cpu":
        return USUAL_BATCH
    most = len(job.source.parts["train"]) // (STEPS_AN_EPOCH * processes)
    return processes * largest_worthwhile(lambda size: seconds_per_image(job, size), most)


def largest_worthwhile(trial: Callable[[int], float | None], most: int) -> int:
    """The largest batch of 32, 64, ... up to `most` for which a trial says that it is worth it: its seconds for an
    image, None when the memory does not hold it."""
    size, fastest = USUAL_BATCH, trial(USUAL_BATCH)
    while fastest is not None and 2 * size <= min(LARGEST_BATCH, most):
        seconds = trial(2 * size)
        if seconds is None or seconds * WORTH_IT > fastest:
            break
        size, fastest = 2 * size, seconds
    return size


def seconds_per_image(job: Job, size: int) -> float | None:
    """Seconds for an image of training steps with so many, in the phase in which most learns; None when the memory does
    not hold them. The model is left as it was."""
    model, plan = job.model, job.plan
    model.apply_rules(plan.rules(min(plan.phases, key=plan.frozen_depth)))
    model.train()
    objective = objective_for(job.source.task, model.head)
    shape = size, job.preprocessing.channels, job.preprocessing.size, job.preprocessing.size
    targets = torch.from_numpy(job.source.parts["train"].targets[[0] * size]).to(job.device)
    put_back = before_forward(model)
    try:
        images_BCHW = torch.zeros(shape, device=job.device).contiguous(memory_format=torch.channels_last)
        for number in range(1 + TIMED_STEPS):
            if number == 1:  # the first one costs extra
                started = _now(job.device)
            with autocast(job.config.precision, job.device):
                outputs_BK = model(images_BCHW)
            objective.loss(outputs_BK.float(), targets).backward()  # type: ignore[no-untyped-call]
        return (_now(job.device) - started) / (TIMED_STEPS * size)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
    finally:
        put_back()
        model.zero_grad(set_to_none=True)
        if job.device.type == "cuda":
            torch.cuda.empty_cache()


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _compiling_pays(job: Job) -> bool:
    """Whether compiling what learns saves time: where it would on a slow machine, a few images are sent through this one."""
    spec, learning = (
        job.backbone.spec,
        [job.plan.frozen_depth(phase) < len(job.plan.stages) for phase in job.plan.phases],
    )
    if spec.gmacs is None:
        return False
    area = (job.preprocessing.size / spec.preprocessing.size) ** 2
    at_most = OPERATIONS * spec.gmacs * area * len(job.source.parts["train"]) / SLOW
    layers = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in job.model.modules())

    def pays(seconds: list[float]) -> bool:
        by_phase = [one if learns else 0.0 for one, learns in zip(seconds, learning, strict=True)]
        return compiling_pays(job.plan, layers, by_phase)

    return pays([at_most] * len(learning)) and pays([one.steps for one in estimate(job)])
