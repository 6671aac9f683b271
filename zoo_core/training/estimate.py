"""Estimates of time and memory: a few images are sent through each phase of a plan, without
training.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from zoo_core.data.batches import Batches
from zoo_core.data.on_device import normalised
from zoo_core.data.transforms import FRESH
from zoo_core.devices.kinds import kind_of
from zoo_core.devices.precision import autocast
from zoo_core.errors import TrainingError, is_out_of_memory
from zoo_core.frozen.split import FrozenPrefix, SplitPoint, Tail
from zoo_core.model.assemble import trainable_parameters
from zoo_core.tasks.objective import objective_for
from zoo_core.training.threads import computing_with

if TYPE_CHECKING:
    from zoo_core.training.job import Job

TRIED = 8  # images; as many as go through the frozen prefix together on a CPU
FEW = 4  # images on a CPU where nothing but the time of a step is asked for: it hardly depends on their number
STATES = {"adamw": 2, "sgd": 1}  # numbers that an optimizer stores for each parameter
QUICK = 0.3  # seconds
T = TypeVar("T")


@dataclass(frozen=True)
class Estimate:
    """The cost of a phase.

    `once` are the seconds of caching features before its first epoch, `epoch` those of an epoch, of
    which `steps` are those of the trainable part. `memory` counts the bytes of weights, gradients,
    the optimizer's state and the activations of a step.
    """

    once: float
    epoch: float
    steps: float
    memory: int


def estimate(job: Job) -> list[Estimate]:
    """Estimate each phase of a job. The model's weights are left as they were.

    Time and memory are those of a machine that does nothing else. Fewer images are sent where the
    memory does not hold them. Raises TrainingError where it does not hold a single one.
    """
    images = TRIED
    while True:
        try:
            with computing_with(job.settings.threads, lambda text: None):
                return _estimate(job, images)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if images == 1:
                raise TrainingError(
                    "out of memory in the estimate, with a single image. Give a smaller --image-size or a strategy that "
                    "trains fewer stages, or close other programs."
                ) from error
            images //= 2
        finally:
            job.model.zero_grad(set_to_none=True)


def epoch_seconds(job: Job) -> float:
    """The mean seconds of an epoch of a job once its frozen prefix is cached: from steps on random
    numbers, so that no image goes through the network."""
    phases = job.plan.phases
    try:
        with computing_with(job.settings.threads, lambda text: None):
            return sum(phase.epochs * _seconds(job, number) for number, phase in enumerate(phases)) / job.plan.epochs
    finally:
        job.model.zero_grad(set_to_none=True)


def _seconds(job: Job, number: int) -> float:
    """The seconds of an epoch of a phase, from steps on random numbers."""
    part, split = job.source.parts["train"], job.caching.splits[number]
    images = min(TRIED if kind_of(job.device).is_accelerator else FEW, job.settings.micro_batch)
    job.model.apply_rules(job.plan.rules(job.plan.phases[number]))
    size, channels = job.preprocessing.size, job.preprocessing.channels
    shape = (channels, size, size) if split is None else job.shapes[split]
    step, forward = _tail(job, split or SplitPoint(0), torch.randn(images, *shape, device=job.device))
    decode = 0.0
    if split is None:
        batches = Batches(part, job.preprocessing, job.settings.batch_size, job.settings.workers, job.augmentation)
        group = [(index % len(part), FRESH) for index in range(images)]
        decode, _ = _timed(job, lambda: batches.load_batch(group))
    train, val = len(part), len(job.source.parts.get("val", ()))
    return (train * step + val * forward + (train + val) * decode / job.settings.workers) / images


def _estimate(job: Job, images: int) -> list[Estimate]:
    """The estimate from so many images."""
    part = job.source.parts["train"]
    workers = job.settings.workers
    batches = Batches(part, job.preprocessing, job.settings.batch_size, workers, job.augmentation)
    group = [(index % len(part), FRESH) for index in range(images)]
    decode, pixels_BCHW = _timed(job, lambda: batches.load_batch(group))
    images_BCHW = normalised(pixels_BCHW, job.preprocessing, job.device)
    found: list[Estimate] = []
    for number, phase in enumerate(job.plan.phases):
        job.model.apply_rules(job.plan.rules(phase))
        split = job.caching.splits[number] or SplitPoint(job.plan.frozen_depth(phase))
        front, inputs = _front(job, split, images_BCHW)
        front_and_decode = (front + decode / workers) / images
        activations = _activation_bytes(job, split, inputs)
        step, forward = _tail(job, split, inputs)
        counts = {"val": 0} | {name: len(one) for name, one in job.source.parts.items()}
        steps = counts["train"] * step / images
        epoch = steps + counts["val"] * forward / images
        once = 0.0
        if job.caching.splits[number] is None:
            epoch += (counts["train"] + counts["val"]) * front_and_decode
        elif not any(one.once for one in found):  # later phases' features are computed in the same pass
            once = (counts["train"] * job.caching.views + counts["val"]) * front_and_decode
        found.append(Estimate(once, epoch, steps, _memory(job, number, activations)))
    return found


def _front(job: Job, split: SplitPoint, images_BCHW: Tensor) -> tuple[float, Tensor]:
    """Seconds for the tried images up to a split point, with all workers busy, and their features."""
    if split == SplitPoint(0):
        return 0.0, images_BCHW
    front = FrozenPrefix(job.model, [split], tiles=job.settings.tiles != "none")
    if kind_of(job.device).is_accelerator:
        seconds, outputs = _timed(job, lambda: front(images_BCHW))
        return seconds, outputs[split].clone()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a worker has one thread, and there are as many workers as threads
    try:
        seconds, outputs = _timed(job, lambda: front(images_BCHW))
    finally:
        torch.set_num_threads(threads)
    return seconds / job.settings.workers, outputs[split].clone()


def _tail(job: Job, split: SplitPoint, inputs: Tensor) -> tuple[float, float]:
    """Seconds of a step and of a forward pass over the tried images."""
    tail, loss = _opened_tail(job, split, inputs)
    with torch.inference_mode():
        forward, _ = _timed(job, lambda: tail(inputs))
    seconds, _ = _timed(job, lambda: loss().backward())  # type: ignore[no-untyped-call]
    return seconds, forward


def _activation_bytes(job: Job, split: SplitPoint, inputs: Tensor) -> int:
    """The bytes of one image that a step keeps for its backward pass."""
    tail, loss = _opened_tail(job, split, inputs)
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {parameter.untyped_storage().data_ptr() for parameter in tail.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss()
    return sum(count for place, count in saved.items() if place not in weights) // len(inputs)


def _opened_tail(job: Job, split: SplitPoint, inputs: Tensor) -> tuple[Tail, Callable[[], Tensor]]:
    """The part of the network after a split, and the loss of these inputs."""
    recompute, tiles = job.settings.gradient_checkpointing, job.settings.trains_from_tiles
    tail = Tail(job.model, split, recompute=recompute, tiles=tiles).eval()  # statistics stay as they are
    targets = torch.from_numpy(job.source.parts["train"].targets[[0] * len(inputs)]).to(job.device)
    objective = objective_for(job.source.task, job.model.head)

    def loss() -> Tensor:
        with autocast(job.settings.precision, job.device):
            outputs_BK = tail(inputs)
        return objective.loss(outputs_BK, targets)

    return tail, loss


def _memory(job: Job, number: int, activations: int) -> int:
    """Bytes of all weights, the gradients and optimizer state of trainable ones, and activations."""
    rules = job.plan.rules(job.plan.phases[number])
    weights = sum(parameter.nbytes for parameter in job.model.parameters())
    trainable = sum(
        parameter.nbytes
        for part, rule in rules.items()
        for parameter in trainable_parameters(job.model.part(part), rule)
    )
    together = min(job.settings.micro_batch, len(job.source.parts["train"]))
    return weights + trainable * (1 + STATES[job.settings.optimizer]) + activations * together


def _timed(job: Job, work: Callable[[], T]) -> tuple[float, T]:
    """The seconds of a computation on the job's device, and its result. A quick one is repeated: the first time costs
    extra."""
    device = kind_of(job.device)

    def once() -> tuple[float, T]:
        device.wait(job.device)
        started = time.perf_counter()
        result = work()
        device.wait(job.device)
        return time.perf_counter() - started, result

    seconds, result = once()
    return (seconds, result) if seconds > QUICK else once()
