"""The learning rate of a head that learns alone, found by short trainings on its cached features.

The best rate for frozen features differs tenfold between sets of images, and with the number of
steps; once the features are cached, trying a few takes seconds.

Shapes: N images; features are those at the split point of the phase.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from torch import Tensor

from zoo_core.data.batches import training_groups
from zoo_core.data.dealing import Groups, joined
from zoo_core.frozen.inputs import Inputs, IntArray, Sample
from zoo_core.model.assemble import Model
from zoo_core.settings import ResolvedSettings
from zoo_core.training.defaults import FEWEST_FOR_TRIALS, USUAL_LR
from zoo_core.training.evaluator import HEAD_GROUP, EvaluationStopped, Evaluator
from zoo_core.training.schedule import schedule
from zoo_core.training.snapshot import load_random, load_trained, random_state, trained_state
from zoo_core.training.stopping import StopRequest
from zoo_core.training.train_step import Batch, TrainStep

RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
HELD_OUT = 0.2  # of the images, as for a validation part
MOST_STEPS = 1000  # of one trial: a second of a linear head on a CPU
MOST_BYTES = 2**28  # of the features that a trial holds in memory: 50,000 images of 1,280 numbers
LOOKS = 10  # at the held-out images, evenly over a trial


def lr_by_trials(
    model: Model,
    step: TrainStep,
    inputs: Inputs,
    *,
    gradients: Callable[[Batch], Tensor],
    evaluator: Evaluator,
    message: Callable[[str], None],
    groups: Sequence[str] | None = None,
) -> float:
    """Train the head at several rates, each from the same weights, and return the rate with the
    lowest loss on held-out training images; model and random numbers stay as they were.

    `inputs` are the cached features of the training part; `gradients` sets a batch's gradients on
    this rank alone and returns its mean loss; whole `groups` of images are held out. If no loss is
    finite, the usual rate is taken. The ranks call it together, and the losses of the first decide
    for all. Raises EvaluationStopped after a stop request.
    """
    plan, world = step.planner.plan, step.planner.world
    before, drawn = trained_state(model, plan), random_state(step.device)
    chosen = _sample(step, inputs)
    names = None if groups is None else [groups[index] for index in chosen]
    features = _features(step, inputs, chosen, evaluator)
    trial = _Trial(step, *features, gradients, evaluator.stop_request, names)

    def loss_of(rate: float) -> float:
        with world.raise_together():
            loss = trial.loss(rate)
        load_trained(model, before)
        load_random(drawn, step.device)
        step.optimizer.state.clear()
        told: list[tuple[int | None, float]] = world.all_gather_object((evaluator.stop_request.signal, loss))
        if any(signal is not None for signal, _ in told):
            raise EvaluationStopped
        return told[0][1]

    losses = lowest(loss_of)
    found = min(losses, key=lambda rate: losses[rate])
    tried = ", ".join(f"{rate:g} {loss:.3f}" for rate, loss in sorted(losses.items()))
    message(f"learning rate by trials on cached features: {found:g} (held-out losses: {tried})")
    return found


def lowest(loss_of: Callable[[float], float]) -> dict[float, float]:
    """The losses of the usual rate and of its neighbours, as far as the loss falls in a direction.

    Smaller rates come first; larger ones are tried only where the next smaller is no better. A loss
    that is not finite counts as infinite.
    """

    def at(place: int) -> float:
        loss = loss_of(RATES[place])
        return loss if math.isfinite(loss) else math.inf

    start = RATES.index(USUAL_LR)
    losses = {start: at(start)}
    for direction in (-1, 1):
        place = start + direction
        while 0 <= place < len(RATES):
            losses[place] = at(place)
            if math.inf > losses[place - direction] <= losses[place]:
                break
            place += direction
        if losses[start] > min(losses.values()):
            break
    return {RATES[place]: loss for place, loss in losses.items()}


@dataclass(frozen=True)
class _Trial:
    """Trainings of the head on features in memory, a part of which is held out."""

    step: TrainStep
    features: Tensor
    targets: Tensor
    gradients: Callable[[Batch], Tensor]
    stop_request: StopRequest
    groups: Sequence[str] | None = None
    """The group of each image, if there are any: they are held out as a whole."""

    def loss(self, rate: float) -> float:
        """The lowest mean loss on the held-out images in a training whose peak rate is `rate`;
        infinite where it diverges, or was stopped."""
        config, optimizer = self.step.config, self.step.optimizer
        held_out, kept = _held_out(len(self.features), config.seed, self.groups)
        total = min(MOST_STEPS, _steps(len(kept), config))
        lowest = math.inf
        for number, group in zip(range(total), _groups(kept, config), strict=False):
            for one in optimizer.param_groups:
                one["lr"] = one["max_lr"] * rate * schedule(number, total, config.warmup)
            batch = Batch(self.features[group], self.targets[group], len(group))
            if self.stop_request.signal is not None or not math.isfinite(self.gradients(batch).item()):
                return math.inf
            optimizer.step()
            if (number + 1) % max(1, total // LOOKS) == 0 or number + 1 == total:
                loss = self._held_out_loss(held_out)
                if not math.isfinite(loss):
                    return math.inf
                lowest = min(lowest, loss)
        return lowest

    def _held_out_loss(self, held_out: IntArray) -> float:
        tail, total = self.step.tail, 0.0
        tail.eval()
        with torch.inference_mode():
            for group in np.split(held_out, range(HEAD_GROUP, len(held_out), HEAD_GROUP)):
                loss = self.step.objective.loss(tail(self.features[group]), self.targets[group])
                total += loss.item() * len(group)
        tail.train()
        return total / len(held_out)


def _steps(images: int, config: ResolvedSettings) -> int:
    return config.epochs * max(1, images // config.batch_size)


def _groups(kept: IntArray, config: ResolvedSettings) -> Iterator[IntArray]:
    for epoch in count():
        for group in training_groups(len(kept), config.batch_size, seed=config.seed, epoch=epoch):
            yield kept[list(group)]


def _held_out(count: int, seed: int, groups: Sequence[str] | None) -> tuple[IntArray, IntArray]:
    """The places of the images that are held out, and of the others: whole groups, if there are
    two."""
    order = np.random.default_rng(seed).permutation(count)
    if groups is not None and len(set(groups)) > 1:
        whole = Groups(joined(groups), [()] * count)
        held_N = whole.held_out(HELD_OUT, seed)[whole.number_N][order]
        return order[held_N], order[~held_N]
    held_out, kept = np.split(order, [round(HELD_OUT * count)])
    return held_out, kept


def _sample(step: TrainStep, inputs: Inputs) -> list[int]:
    """The training images, or a random sample of them where the features of all take too much
    memory."""
    first, _ = next(iter(inputs.batches([[(0, 0)]])))
    most = max(FEWEST_FOR_TRIALS, MOST_BYTES // (4 * first.numel()))
    if len(inputs) <= most:
        return list(range(len(inputs)))
    chosen = np.random.default_rng(step.config.seed).permutation(len(inputs))[:most]
    return [int(index) for index in sorted(chosen)]


def _features(step: TrainStep, inputs: Inputs, chosen: Sequence[int], evaluator: Evaluator) -> tuple[Tensor, Tensor]:
    """Features and targets (N, ...) of the chosen training images."""
    inputs = inputs if len(chosen) == len(inputs) else Sample(inputs, chosen)
    features, targets = evaluator.outputs(step.tail, inputs, lambda features: features)
    return features.to(step.device), targets.to(step.device)
