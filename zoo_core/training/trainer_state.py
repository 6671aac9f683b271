"""The state of a training: all that decides how it goes on, as a checkpoint holds it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from zoo_core.devices.world import World
from zoo_core.errors import TrainingError, brief
from zoo_core.freezing.plan import Plan
from zoo_core.model.assemble import Model
from zoo_core.runs.ending import loss_rises_since, no_improvement
from zoo_core.runs.epochs import EpochReport
from zoo_core.tasks.metrics import Evaluation, Metric
from zoo_core.training.checkpoint import Checkpoint
from zoo_core.training.checkpoint_checks import check_optimizer, check_tensors
from zoo_core.training.progress_checks import POSITION, REPORT, check_progress, read_fields, read_report, refusing
from zoo_core.training.regularisers import Ema
from zoo_core.training.snapshot import (
    load_optimizer,
    load_random,
    load_trained,
    named_parameters,
    optimizer_state,
    prefixed,
    random_state,
    trained_state,
    under,
)
from zoo_core.wording import counted


@dataclass
class TrainerState:
    """The position of a training, its weights, and everything else that its next steps depend on."""

    model: Model
    plan: Plan
    world: World
    device: torch.device
    steps_per_epoch: int
    cached: str
    """The views and split points of the cached features (`Caching.signature`)."""
    micro_batch: int | None
    """The number of images that pass the network together; it shrinks when memory runs out."""
    lr: float | None
    """The highest learning rate of the head, None until a search has found it."""
    ema: Ema | None
    metric: Metric
    """The metric by which the best epoch is chosen."""
    is_steady: bool = False
    """Whether the latest epoch within one standard error of the highest score is the best, and not
    the highest itself."""
    val_images: int = 1
    """The number of images held out to validate with. If there are none, the last epoch counts."""
    epoch: int = 0
    """The number of epochs that are done."""
    step: int = 0
    """The number of steps that are done in the next epoch, with the sum of their images' losses and
    their seconds."""
    loss_sum: float = 0.0
    seconds: float = 0.0
    history: list[EpochReport] = field(default_factory=list)
    best_state: dict[str, Tensor] = field(default_factory=dict)
    """Weights and statistics of the best epoch so far."""
    optimizer: torch.optim.Optimizer | None = None
    _moments: dict[str, Tensor] = field(default_factory=dict)

    @property
    def is_measured(self) -> bool:
        return self.val_images > 0

    @property
    def global_step(self) -> int:
        """The number of steps that are done in all epochs."""
        return self.epoch * self.steps_per_epoch + self.step

    @property
    def is_at_start(self) -> bool:
        """Whether nothing has been trained yet."""
        return self.global_step == 0 and self.loss_sum == 0

    @property
    def best(self) -> EpochReport:
        """The epoch that is kept: the highest, or the latest that is no worse beyond noise.

        The highest of many noisy scores is often an early one, before the rates have fallen: its
        luck is not in the next images. Scores within one standard error of the highest count as
        equal, as in Breiman et al., Classification and Regression Trees, 1984, section 3.4.3. Of
        these CART keeps the simplest tree; zoo keeps the latest epoch, whose rates have fallen
        furthest, by its own measurements (benchmarks/README.md, "Defaults").
        """
        if not self.is_measured:
            return self.history[-1]
        highest, gain = self.highest, self.metric.gain
        least = gain(highest.score) - (self._error(highest) if self.is_steady else 0.0)
        if least == gain(highest.score):
            return highest
        near = (one for one in self.history if gain(one.score) >= least)
        return max(near, key=lambda report: report.epoch)

    @property
    def highest(self) -> EpochReport:
        """The epoch with the best score; of equal ones the one with the lowest loss, then the
        first."""
        gain = self.metric.gain
        return max(self.history, key=lambda report: (gain(report.score), -report.loss, -report.epoch))

    def error_of(self, result: Evaluation | None) -> float | None:
        """The standard error of the next epoch's score, where it is the best so far and counts."""
        if result is None or not self.is_steady:
            return None
        gain = self.metric.gain
        leads = not self.history or gain(result.score) >= gain(self.highest.score)
        return result.standard_error if leads else None

    def _error(self, report: EpochReport) -> float:
        """The standard error of a score, 0 where none is known. Runs of before recorded none: that
        of a proportion follows from the score."""
        if report.val_error is None and self.metric.is_proportion:
            return self.metric.standard_error(report.score, self.val_images)
        return report.val_error or 0.0

    @property
    def improved_at(self) -> int:
        """The last epoch that improved on all before it: in its score, or, where the latest good
        epoch is kept, in its loss."""
        if not self.is_steady:
            return self.highest.epoch
        lowest = min(self.history, key=lambda report: (report.loss, report.epoch))
        return max(self.highest.epoch, lowest.epoch)

    def told_history(self) -> tuple[EpochReport, ...]:
        """The epochs so far, of which the best one is marked."""
        return tuple(replace(report, is_best=report is self.best) for report in self.history)

    @property
    def is_finite(self) -> bool:
        """Whether all trained weights and statistics are finite numbers."""
        return all(bool(tensor.isfinite().all()) for tensor in trained_state(self.model, self.plan).values())

    def out_of_patience(self, patience: int | None, *, since: int) -> bool:
        """Whether the last `patience` epochs, all after the epoch `since`, improved nothing."""
        if patience is None or not self.is_measured:
            return False
        return self.history[-1].epoch - max(self.improved_at, since) >= patience

    def lost_patience(self, end: int) -> str:
        """The reason why a phase that was to end after the epoch `end` ends now."""
        reason = no_improvement(
            "steady" if self.is_steady else "highest",
            self.metric,
            highest=self.highest.epoch,
            rises_since=loss_rises_since(self.history),
        )
        ends = "stopped" if end == self.plan.epochs else "this phase ends"
        return f"{reason}; {ends} after epoch {self.history[-1].epoch}, best epoch {self.best.epoch}"

    def use_optimizer(self, optimizer: torch.optim.Optimizer, *, has_stepped: bool) -> None:
        """Take the optimizer of a phase, which may have taken steps before a checkpoint; it inherits
        the moments of the parameters that were trained before."""
        moments = self._known_moments()
        with refusing():
            check_optimizer(moments, optimizer, has_stepped=has_stepped)
        load_optimizer(self.model, optimizer, moments)
        self.optimizer, self._moments = optimizer, {}

    def _known_moments(self) -> dict[str, Tensor]:
        """The moments in the optimizer, or before there is one, in the checkpoint that was loaded."""
        return self._moments if self.optimizer is None else optimizer_state(self.model, self.optimizer)

    def end_epoch(self, report: EpochReport) -> None:
        """Add an epoch that was evaluated with the weights as they are."""
        self.history.append(report)
        if self.best is report:
            self.best_state = trained_state(self.model, self.plan)
        self.move_to(report.epoch)

    def begin_at(self, epoch: int, lines: Iterable[Mapping[str, Any]]) -> None:
        """Stand after so many epochs of a finished run, whose metrics are given and whose best
        weights the model holds.

        Raises KeyError or ValueError for metrics that are not those of such a run.
        """
        self.history = [read_report({name: line[name] for name in REPORT if name in line}) for line in lines]
        self._check(epoch, 0, self.history)
        self.best_state = trained_state(self.model, self.plan)
        if self.ema is not None:
            self.ema.restart()
        self.move_to(epoch)

    def move_to(self, epoch: int) -> None:
        """Stand before the first step of the epoch after so many."""
        self.epoch, self.step, self.loss_sum, self.seconds = epoch, 0, 0.0, 0.0

    def check_finite(self, loss: float) -> None:
        """Raise TrainingError for a loss that is no finite number."""
        if not math.isfinite(loss):
            where = f"epoch {self.epoch + 1}, step {min(self.step + 1, self.steps_per_epoch)} of {self.steps_per_epoch}"
            raise TrainingError(
                f"the loss is {loss} in {where}: the training diverged and stopped there. Try a smaller --lr "
                f"(now {self.lr or 0:g}); the epochs before are in the run directory."
            )

    def load_best(self) -> None:
        """Leave the best epoch's weights in the model."""
        load_trained(self.model, self.best_state)

    def state_dict(self) -> Checkpoint:
        """All that a checkpoint holds. The ranks call it together."""
        tensors = {
            **prefixed("now", trained_state(self.model, self.plan)),  # weights and statistics
            **prefixed("best", self.best_state),  # those of the best epoch so far
            **prefixed("optimizer", self._known_moments()),  # of each parameter that is trained in this phase
            **prefixed("average", {} if self.ema is None else self.ema.state_dict()),
        }
        for rank, drawn in enumerate(self.world.all_gather_object(random_state(self.device))):
            tensors |= prefixed(f"random{rank}", drawn)
        progress = {
            "position": {name: getattr(self, name) for name in POSITION},
            "micro_batch": self.micro_batch,
            "lr": self.lr,
            "history": [{name: getattr(report, name) for name in REPORT} for report in self.history],
            "processes": self.world.size,
            "kept": self.cached,
        }
        return Checkpoint(tensors, progress)

    def load_state_dict(self, saved: Checkpoint) -> None:
        """Go back to where a checkpoint was written. The optimizer's moments reach the optimizer
        that is used next.

        Raises TrainingError if the checkpoint is not one of this training.
        """
        progress, tensors = saved.state, saved.tensors
        with refusing():
            position = read_fields(POSITION, progress["position"], "position")
            history = [read_report(report) for report in progress["history"]]
            self._check(position["epoch"], position["step"], history)
            check_progress(progress)
        self._check_surroundings(progress["processes"], progress["kept"])
        with refusing():
            self._check_tensors(tensors, has_best=bool(history))
        for name, value in position.items():
            setattr(self, name, value)
        self.micro_batch, self.lr, self.history = progress["micro_batch"], progress["lr"], history
        self.best_state, self._moments = under("best", tensors), under("optimizer", tensors)
        load_trained(self.model, under("now", tensors))
        if self.ema is not None:
            self.ema.load_state_dict(under("average", tensors))
        with refusing():
            load_random(under(f"random{self.world.rank}", tensors), self.device)

    def _check_tensors(self, tensors: Mapping[str, Tensor], *, has_best: bool) -> None:
        """Raise ValueError unless names, shapes and types are those that this training writes."""
        check_tensors(
            tensors,
            trained=trained_state(self.model, self.plan),
            has_best=has_best,
            average={} if self.ema is None else self.ema.state_dict(),
            parameters=dict(named_parameters(self.model)),
            processes=self.world.size,
            random=random_state(self.device),
        )

    def _check(self, epoch: int, step: int, history: list[EpochReport]) -> None:
        """Raise ValueError if a position, or the epochs of a history, are not of this training."""
        done = [report.epoch for report in history]
        last = self.steps_per_epoch if epoch < self.plan.epochs else 0
        if not (0 <= epoch <= self.plan.epochs and 0 <= step <= last):
            raise ValueError(f"epoch {epoch}, step {step} is not in it")
        ordered = done == sorted(set(done)) and all(1 <= one <= epoch for one in done)
        if not ordered or bool(epoch) > bool(done):
            raise ValueError(f"its history does not lead to epoch {epoch}")
        for report in history:
            if any((value is None) is self.is_measured for value in (report.val_loss, report.val_score)):
                raise ValueError(f"epoch {report.epoch} is {'not ' if self.is_measured else ''}measured")
            score = report.score if self.is_measured else 0.0
            if report.metric != self.metric.name or score > self.metric.at_most:
                raise ValueError(f"{report.metric!r:.80} of {score:g} is no score of epoch {report.epoch}")

    def _check_surroundings(self, processes: int, cached: str) -> None:
        """Raise TrainingError if the run was trained by another number of ranks, or on other cached
        features."""
        if processes != self.world.size:
            raise TrainingError(
                f"this run was trained in {counted(processes, 'process', 'processes')}, and cannot go on in "
                f"{self.world.size}. Resume it with --devices {processes}."
            )
        if cached != self.cached:
            raise TrainingError(
                f"this run cached {brief(cached)} of the frozen part, and there is room for '{self.cached}' now. Free "
                "space on the disk, or name another with the variable ZOO_CACHE."
            )
