"""The layout of a training step on a CPU: how images lie in memory, and how many go through the
network together.

Neither changes the result, but for the order of sums. Which one is fast depends on the
processor, so a long training begins with a trial. bfloat16 gives other numbers: its speed is told,
and the user decides.

Shapes: B images, C channels, H height, W width.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zoo_core.devices.kinds import kind_of
from zoo_core.devices.precision import autocast
from zoo_core.devices.processor import speed_key
from zoo_core.errors import is_out_of_memory
from zoo_core.frozen.split import SplitPoint, Tail
from zoo_core.json_index import read_index, write_index
from zoo_core.model.memory_format import laid_out
from zoo_core.paths import cache_dir
from zoo_core.settings.words import USUAL_LAYOUT
from zoo_core.tasks.objective import objective_for
from zoo_core.training.snapshot import before_forward
from zoo_core.training.threads import computing_with, fewer_threads
from zoo_core.training.train_step import Layout, trains_batch_norm

if TYPE_CHECKING:
    from zoo_core.training.job import Job

OTHERS = ("contiguous:8", "channels-last:whole", "contiguous:whole")
BFLOAT16 = f"{USUAL_LAYOUT} in bfloat16"
FEWER = f"{USUAL_LAYOUT} with half of the threads"
WORTH_IT = 1.2  # another layout has to be this much faster: trials on a busy machine differ by less
WORTH_TELLING = 1.2
SECONDS = 1.6  # of a trial, as far as steps can be foreseen
ENDS = 1.8  # seconds after which a trial is broken off before its next layer, on a machine that is busy
ROUNDS = 2
CLOCK = time.perf_counter
LEAST_GMACS = 2_000  # a minute and more on 2 cores; the trial would be too large a share of less


@dataclass(frozen=True)
class LayoutTrial:
    """The shortest seconds of a step of so many `images`, by layout; a faster one than the usual is
    taken if it is worth it. Without images nothing was tried. `threads` are those of all layouts
    but FEWER, 0 where the machine was too busy to try that."""

    images: int
    seconds: Mapping[str, float]
    threads: int = 0

    @property
    def chosen(self) -> str:
        if not self.images:
            return USUAL_LAYOUT
        known = {layout: self.seconds[layout] for layout in (USUAL_LAYOUT, *OTHERS) if layout in self.seconds}
        best = min(known, key=lambda layout: known[layout])
        return best if known[best] * WORTH_IT <= known[USUAL_LAYOUT] else USUAL_LAYOUT

    @property
    def because(self) -> str:
        if not self.images:
            return "a trial of others would take longer than 2 seconds, or more memory, here and now"
        count = len(self.seconds.keys() - {BFLOAT16, FEWER})
        tried = f"a trial of {count} on {self.images} image{'s' if self.images > 1 else ''}"
        if self.chosen == USUAL_LAYOUT:
            return f"no other layout was {WORTH_IT} times as fast in {tried}"
        gain = self.seconds[USUAL_LAYOUT] / self.seconds[self.chosen]
        return f"it was {gain:.1f} times as fast as {USUAL_LAYOUT} in {tried}"

    @property
    def fewer_threads(self) -> int:
        """Half of the threads, where a step of the usual layout is that much faster so; else 0."""
        is_faster = self.seconds.get(FEWER, float("inf")) * WORTH_IT <= self.seconds.get(USUAL_LAYOUT, 0.0)
        return self.threads // 2 if is_faster and self.chosen == USUAL_LAYOUT else 0

    @property
    def because_of_threads(self) -> str:
        gain = self.seconds[USUAL_LAYOUT] / self.seconds[FEWER]
        return f"they were {gain:.1f} times as fast as {self.threads} in the trial of layouts"

    @property
    def note(self) -> str | None:
        """A sentence about bfloat16 where it is much faster."""
        gain = self.seconds[self.chosen] / self.seconds[BFLOAT16] if BFLOAT16 in self.seconds else 1.0
        if gain < WORTH_TELLING:
            return None
        return f"--precision bfloat16 makes a training step {gain:.1f} times as fast here, with other numbers than float32."


def tune_step_layout(job: Job) -> LayoutTrial | None:
    """Try the layouts of a step in the phase that trains the most stages; None for a short
    training.

    The result is cached by machine, versions, network and settings. The model is left as it was.
    """
    frozen = min(job.plan.frozen_depth(phase) for phase in job.plan.phases)
    if not _is_long(job, frozen) or frozen == len(job.plan.stages):
        return None
    key = _key(job, frozen)
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    file = cache_dir() / "layouts" / f"{digest}.json"
    found = read_index(file, key, _parsed)
    are_given = job.config.threads is not None or job.world.size > 1
    fewer = 0 if are_given or (found and found.threads) else fewer_threads()
    if found is None or fewer:
        trial = _tried(job, frozen, fewer)
        if trial.images:
            entries = {"images": trial.images, "seconds": dict(trial.seconds), "threads": trial.threads}
            write_index(file, key, entries)
        found = trial if trial.images or found is None else found
    return found


def _parsed(entries: dict[str, object]) -> LayoutTrial:
    images, seconds, threads = entries["images"], entries["seconds"], entries["threads"]
    if not isinstance(images, int) or not isinstance(seconds, dict) or not isinstance(threads, int):
        raise TypeError("no trial")
    known = {str(layout): float(one) for layout, one in seconds.items()}
    ordered = {layout: known[layout] for layout in (USUAL_LAYOUT, *OTHERS, BFLOAT16, FEWER) if layout in known}
    return LayoutTrial(images, ordered, threads)


def _is_long(job: Job, frozen: int) -> bool:
    """Whether the training is long enough for a trial, as far as the cost of its network is known."""
    spec, plan = job.backbone.spec, job.plan
    epochs = sum(phase.epochs for phase in plan.phases if plan.frozen_depth(phase) < len(plan.stages))
    area = (job.preprocessing.size / spec.preprocessing.size) ** 2
    whole = (spec.gmacs or 0.0) * area * len(job.source.parts["train"]) * epochs
    return whole * _trained_share(job, frozen) >= LEAST_GMACS


def _trained_share(job: Job, frozen: int) -> float:
    """The share of a forward pass that the stages behind the first `frozen` take, by their weights
    and the positions to which these are applied."""
    costs = []
    for place, name in enumerate(job.plan.stages, start=1):
        shape = job.shapes[SplitPoint(place)]
        positions = math.prod(shape[1:]) if len(shape) == 3 else shape[0] if len(shape) == 2 else 1
        costs.append(positions * sum(parameter.numel() for parameter in job.model.backbone.stage(name).parameters()))
    return sum(costs[frozen:]) / max(1, sum(costs))


def _key(job: Job, frozen: int) -> list[object]:
    """All that a trial depends on."""
    settings = job.settings
    names = ("batch_size", "precision", "gradient_checkpointing", "tiles", "size")
    stages = [str(job.model.backbone.stage(name)) for name in job.plan.stages]
    return [
        [*speed_key(), job.world.size],
        [str(job.plan.rules(phase)) for phase in job.plan.phases if job.plan.frozen_depth(phase) == frozen],
        hashlib.sha256("".join([*stages, str(job.model.head)]).encode()).hexdigest(),
        [*(getattr(settings, name) for name in names), job.config.micro_batch, job.config.precision],
    ]


def _tried(job: Job, frozen: int, fewer: int) -> LayoutTrial:
    """The trial, within `SECONDS`, also with `fewer` threads if there are any; one without images
    where not even single ones fit into that time, or into the memory."""
    started = CLOCK()
    job.model.apply_rules(job.plan.rules(min(job.plan.phases, key=job.plan.frozen_depth)))
    settings = job.settings
    tiles = settings.trains_from_tiles
    tail = Tail(job.model, SplitPoint(frozen), recompute=settings.gradient_checkpointing, tiles=tiles)
    tail.train()
    undo = before_forward(tail, job.device)
    try:
        with _until(started + ENDS, tail):
            step, least = _step_of(job, tail, SplitPoint(frozen), fewer), 2 if trains_batch_norm(tail) else 1
            step(USUAL_LAYOUT, least)  # the first time costs extra
            one = step(USUAL_LAYOUT, least) / least
            layouts, images = _affordable(job, started + SECONDS - CLOCK(), one, least, fewer)
            seconds: dict[str, float] = {}
            for number in range(ROUNDS if images else 0):  # in turns, and there and back, so that no moment decides
                for layout in layouts if number % 2 else reversed(layouts):
                    seconds[layout] = min(step(layout, images), seconds.get(layout, float("inf")))
            threads = torch.get_num_threads() if fewer else 0
            return LayoutTrial(images, {layout: seconds[layout] for layout in layouts}, threads)
    except _TooLongError:
        return LayoutTrial(0, {})
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return LayoutTrial(0, {})  # the training has ways to need less
    finally:
        undo()
        laid_out(tail, torch.contiguous_format)
        job.model.zero_grad(set_to_none=True)


class _TooLongError(Exception):
    """A trial's time is over."""


@contextmanager
def _until(ends: float, tail: Tail) -> Iterator[None]:
    """Raise _TooLongError in this block after a time of the clock, before the next layer or its
    gradients."""

    def check(*given: object) -> None:
        if ends < CLOCK():
            raise _TooLongError

    def check_gradient(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            output.register_hook(check)  # type: ignore[no-untyped-call]

    layers = [module for module in tail.modules() if not any(True for _ in module.children())]
    hooks = [layer.register_forward_pre_hook(check) for layer in layers]
    hooks += [layer.register_forward_hook(check_gradient) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _affordable(job: Job, seconds: float, one: float, least: int, fewer: int) -> tuple[Sequence[str], int]:
    """The layouts that can be tried in some seconds if an image takes `one`, and the number of
    images.

    Statistics of the batch take `least` 2 images, and no micro-batches.
    """
    tells_bfloat16 = job.config.precision == "auto" and kind_of(job.device).has_bfloat16_units
    told = [*([FEWER] if fewer else []), *([BFLOAT16] if tells_bfloat16 else [])]
    batch = min(job.settings.batch_size, len(job.source.parts["train"]))
    affordable = int(seconds / (ROUNDS * one))  # images, of all layouts together
    whole, formats = [USUAL_LAYOUT, *OTHERS, *told], [USUAL_LAYOUT, OTHERS[0]]
    if least == 1 and job.config.micro_batch is None and len(whole) * batch <= affordable:
        return whole, batch
    for layouts in ([*formats, *told], formats):
        if len(layouts) * least <= affordable:
            return layouts, min(batch, 8, affordable // len(layouts))
    return [], 0


def _step_of(job: Job, tail: Tail, split: SplitPoint, fewer: int) -> Callable[[str, int], float]:
    """A function that computes the gradients of some images in a layout, and gives the seconds."""
    size, channels = job.preprocessing.size, job.preprocessing.channels
    shape = job.shapes[split] if split.stages else (channels, size, size)
    batch = min(job.settings.batch_size, len(job.source.parts["train"]))
    drawn = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))
    targets = torch.from_numpy(job.source.parts["train"].targets[[0] * batch])
    objective = objective_for(job.source.task, job.model.head)

    def step(text: str, images: int) -> float:
        layout = Layout.of(USUAL_LAYOUT if text in (BFLOAT16, FEWER) else text)
        laid_out(tail, layout.memory_format)
        inputs = drawn[:images]
        inputs = inputs.contiguous(memory_format=layout.memory_format) if inputs.ndim == 4 else inputs
        with computing_with(fewer if text == FEWER else torch.get_num_threads(), lambda text: None):
            return timed(layout, inputs, text)

    def timed(layout: Layout, inputs: Tensor, text: str) -> float:
        started = CLOCK()
        for part in torch.split(inputs, layout.images or len(inputs)):
            with autocast("bfloat16" if text == BFLOAT16 else job.settings.precision, job.device):
                outputs_BK = tail(part)
            objective.loss(outputs_BK, targets[: len(part)]).backward()  # type: ignore[no-untyped-call]
        return CLOCK() - started

    return step
