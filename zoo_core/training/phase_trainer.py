"""One phase of a plan at work: its inputs, its train step, and the memory policy around the
step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from zoo_core.data.batches import training_groups
from zoo_core.data.sources import windows_of
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.caching import view_seen
from zoo_core.frozen.input_planner import InputPlanner, PhaseInputs
from zoo_core.model.assemble import Model
from zoo_core.settings import ResolvedSettings
from zoo_core.tasks.metrics import Evaluation
from zoo_core.training.balance import image_chances
from zoo_core.training.evaluator import Evaluator
from zoo_core.training.lr_trials import lr_by_trials
from zoo_core.training.memory import MemoryPolicy
from zoo_core.training.range_test import range_test
from zoo_core.training.schedule import Rates, make_optimizer, parameter_groups, schedule, set_rates
from zoo_core.training.solve import fit_head
from zoo_core.training.train_step import Batch, TrainStep


@dataclass(frozen=True)
class PhaseTrainer:
    """A phase from the epoch `first` up to `end`.

    `solved` says that it takes no steps, because it trains the head alone and the head has a closed form.
    """

    number: int
    first: int
    end: int
    steps: int
    """The steps of an epoch."""
    config: ResolvedSettings
    planner: InputPlanner
    inputs: PhaseInputs
    step: TrainStep
    memory: MemoryPolicy
    solved: bool

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from the step `start` on, in the order that seed and epoch
        decide."""
        part, shard = self.planner.train.part, self.planner.world.shard
        size, seed, windows = self.config.batch_size, self.config.seed, windows_of(part.images)
        chances = image_chances(part, len(self.planner.classes)) if self.config.balance == "sampling" else None
        groups = training_groups(len(part), size, seed=seed, epoch=epoch, windows=windows, chances=chances)[start:]
        local = ([(index, self._view(epoch, index)) for index in shard(group) or group[:1]] for group in groups)
        for group, (features, targets) in zip(groups, self.inputs.train.batches(local), strict=True):
            yield Batch(features, targets, len(group))

    def set_rates(self, step: int) -> None:
        """Set the learning rates for a step, counted over all epochs."""
        stretch, steps = self.planner.plan.stretch(self.number), self.steps
        first = stretch.start * steps
        set_rates(
            self.step.optimizer, step - first, len(stretch) * steps, steps, self.config.warmup, first=stretch.start
        )

    def share_of_peak(self, epoch: int) -> float:
        """The learning rate at the first step of an epoch as a share of its peak."""
        stretch = self.planner.plan.stretch(self.number)
        first, total = (epoch - stretch.start) * self.steps, len(stretch) * self.steps
        return schedule(first, total, self.config.warmup)

    def evaluate(self, evaluator: Evaluator) -> Evaluation | None:
        """The figures on the validation images, None without any."""
        val = self.planner.val
        if self.inputs.val is None or val is None:
            return None
        return evaluator.evaluate(self.step.tail, self.inputs.val, groups=val.part.groups)

    def training_loss(self, evaluator: Evaluator) -> float:
        """The mean loss on the training images, not augmented."""
        return evaluator.evaluate(self.step.tail, self.inputs.train).loss

    def solve_head(self, evaluator: Evaluator) -> None:
        """Fit a head that has a closed form to all training images, not augmented."""
        tail = self.step.tail
        features_NF, targets = evaluator.outputs(tail, self.inputs.train, tail.reduced)
        fit_head(tail.whole_head[0], features_NF, targets, self.config.seed, self.planner.train.part.groups)

    def find_lr(self, model: Model, evaluator: Evaluator, message: Callable[[str], None]) -> float:
        """The learning rate that the search of the settings finds; nothing else changes."""
        if self.config.lr_search == "trials":
            return lr_by_trials(
                model,
                self.step,
                self.inputs.train,
                gradients=lambda batch: self.memory.with_fallback(batch, alone=True),
                evaluator=evaluator,
                message=message,
                groups=self.planner.train.part.groups,
            )
        gather = self.planner.world.all_gather_object
        return range_test(
            model,
            self.planner.plan,
            self.step.optimizer,
            device=self.step.device,
            batches=lambda: self.batches(self.first),
            gradients=lambda batch: float(sum(gather(self.memory.with_fallback(batch).item()))),
            is_stopped=lambda: any(signal is not None for signal in gather(evaluator.stop_request.signal)),
            message=message,
        )

    def _view(self, epoch: int, index: int) -> int:
        """The number of the view of a training image that an epoch sees."""
        return view_seen(epoch, index, self.planner.caching.views, self.config.seed)


def phase_optimizer(model: Model, plan: Plan, number: int, config: ResolvedSettings) -> torch.optim.Optimizer:
    """An optimizer, without moments yet, for the parameters that a phase trains."""
    rates = Rates.of(config.lr, config.base_lr, plan, plan.phases[number])
    # L2-SP replaces weight decay on the backbone: two penalties would pull in different directions.
    groups = parameter_groups(model, plan, number, rates, config.weight_decay, base_decays=not config.l2_sp)
    return make_optimizer(config, groups)
