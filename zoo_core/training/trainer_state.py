"""Where a training stands: all that decides what comes next, into a checkpoint and out of one again."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from zoo_core.devices.world import World
from zoo_core.errors import TrainingError, brief
from zoo_core.freezing.plan import Plan
from zoo_core.model.assemble import Model
from zoo_core.runs.epochs import EpochReport
from zoo_core.training.checkpoint import Checkpoint
from zoo_core.training.progress import Position, Progress
from zoo_core.training.regularisers import Ema
from zoo_core.training.state import (
    load_optimizer,
    load_random,
    load_trained,
    optimizer_state,
    prefixed,
    random_state,
    trained_state,
    under,
)


@dataclass
class TrainerState:
    """The position, the weights' averages and their best values so far, and what was found out on the way.

    `kept` says what is kept of the frozen front, `micro_batch` is how many images go through the network together, `lr`
    the highest learning rate of the head, None while it is not known, `history` the epochs that are done.
    """

    model: Model
    plan: Plan
    world: World
    kept: str
    micro_batch: int | None
    lr: float | None
    average: Ema | None
    at: Position = field(default_factory=Position)
    history: list[EpochReport] = field(default_factory=list)
    best_state: dict[str, Tensor] = field(default_factory=dict)
    _start: Checkpoint | None = None

    @property
    def best(self) -> EpochReport:
        """The best epoch, the first of those that are equal."""
        return max(self.history, key=lambda report: (*report.rank, -report.epoch))

    @property
    def is_finite(self) -> bool:
        """Whether all that was learnt is made of finite numbers."""
        return all(bool(tensor.isfinite().all()) for tensor in trained_state(self.model, self.plan).values())

    def out_of_patience(self, patience: int | None, *, since: int) -> bool:
        """Whether the last epochs, as many as the patience and all after the epoch `since`, brought nothing better."""
        return patience is not None and self.history[-1].epoch - max(self.best.epoch, since) >= patience

    def add(self, report: EpochReport) -> None:
        """Take in an epoch that was measured with the weights as they are."""
        if not self.history or report.rank > self.best.rank:
            self.best_state = trained_state(self.model, self.plan)
        self.history.append(report)
        self.at = Position(report.epoch)

    def take_best(self) -> None:
        """Leave the best epoch's weights in the model."""
        load_trained(self.model, self.best_state)

    def checkpoint(self, optimizer: torch.optim.Optimizer) -> Checkpoint:
        """Everything that `restore` and `restore_optimizer` need; all processes ask for it together."""
        progress = Progress(self.at, self.micro_batch, self.lr, tuple(self.history), self.world.size, self.kept)
        tensors = {
            **prefixed("now", trained_state(self.model, self.plan)),
            **prefixed("best", self.best_state),
            **prefixed("optimizer", optimizer_state(self.model, optimizer)),
            **prefixed("average", {} if self.average is None else self.average.state_dict()),
        }
        for rank, drawn in enumerate(self.world.all_gather_object(random_state())):
            tensors |= prefixed(f"random{rank}", drawn)
        return Checkpoint(tensors, progress.to_dict())

    def restore(self, start: Checkpoint, steps: int) -> None:
        """Stand where a checkpoint was written. Raises TrainingError when it is not one of this training."""
        progress = Progress.of(start.state, epochs=self.plan.epochs, steps=steps)
        if progress.processes != self.world.size:
            raise TrainingError(
                f"this run was trained in {progress.processes} processes, and these are {self.world.size}. "
                f"Go on with `zoo resume RUN --devices {progress.processes}`."
            )
        if progress.kept != self.kept:
            raise TrainingError(
                f"this run kept {brief(progress.kept)} of the frozen part, and there is room for '{self.kept}' now. Free "
                "space on the disk, or name another with the variable ZOO_CACHE."
            )
        self.at, self.micro_batch, self.history = progress.position, progress.micro_batch, list(progress.history)
        self.lr = progress.lr
        self.best_state = under("best", start.tensors)
        load_trained(self.model, under("now", start.tensors))
        if self.average is not None:
            self.average.load_state_dict(under("average", start.tensors))
        self._start = start

    def restore_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Give the phase's optimizer, and the random numbers, back what they had; once, where something was restored."""
        if self._start is not None:
            load_optimizer(self.model, optimizer, under("optimizer", self._start.tensors))
            load_random(under(f"random{self.world.rank}", self._start.tensors))
            self._start = None
