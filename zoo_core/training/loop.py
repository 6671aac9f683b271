"""The training loop: phases of a plan, epochs, steps, evaluation; the best epoch's weights are kept.

Shapes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from zoo_core.config import FinetuneConfig
from zoo_core.data.batches import Batches, normalised
from zoo_core.errors import TrainingError
from zoo_core.freezing.plan import Phase, Plan
from zoo_core.model.assemble import Model
from zoo_core.model.solvers import Solvable
from zoo_core.training.evaluate import evaluate
from zoo_core.training.recipe import Rates, make_optimizer, parameter_groups, schedule, set_rates
from zoo_core.training.solve import only_solved, solve_head
from zoo_core.training.tasks import Objective


@dataclass(frozen=True)
class EpochReport:
    """One line of a run's metrics. Losses are means over images, `lr` the head's rate at the epoch's first step;
    of two scores the higher is the better, and `metric` says what they are.
    """

    epoch: int
    phase: int
    lr: float
    train_loss: float
    val_loss: float
    val_score: float
    metric: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {"event": "epoch", **asdict(self)}


class Watcher(Protocol):
    """Who wants to see how the work goes on."""

    def step(self, epoch: int, step: int, steps: int) -> None:
        """A training step was done."""

    def epoch(self, report: EpochReport) -> None:
        """An epoch was done."""


class Silent:
    """A watcher that looks away."""

    def step(self, epoch: int, step: int, steps: int) -> None:
        pass

    def epoch(self, report: EpochReport) -> None:
        pass


@dataclass(frozen=True)
class Trained:
    """The history of a training and its best epoch, whose weights the model holds."""

    epochs: tuple[EpochReport, ...]
    best: int


@dataclass
class Loop:
    """Everything a training needs, as plain data and modules."""

    model: Model
    plan: Plan
    config: FinetuneConfig
    train: Batches
    val: Batches
    device: torch.device
    pretrained: bool
    objective: Objective

    def run(self, watcher: Watcher) -> Trained:
        """Train as the plan says and leave the best epoch's weights in the model.

        Raises TrainingError when the loss stops being a finite number.
        """
        history: list[EpochReport] = []
        best_state: dict[str, Tensor] = {}
        optimizer: torch.optim.Optimizer | None = None
        epoch = 0
        for number, phase in enumerate(self.plan.phases):
            self.model.apply_rules(self.plan.rules(phase))
            rates = Rates.of(self.config, self.plan, phase, pretrained=self.pretrained)
            groups = parameter_groups(self.model, self.plan, phase, rates, self.config.weight_decay)
            optimizer = make_optimizer(self.config, groups, optimizer)
            for _ in range(phase.epochs):
                started = time.perf_counter()
                train_loss = self._solve(phase, epoch, watcher)
                if train_loss is None:
                    train_loss = self._train_epoch(optimizer, epoch, watcher)
                result = evaluate(self.model, self.val, self.device, self.objective)
                self._finite(result.loss, epoch)
                lr = self.config.lr * self._share(epoch * self.train.training_steps)
                seconds = time.perf_counter() - started
                score = (result.score, result.metric)
                report = EpochReport(epoch + 1, number + 1, lr, train_loss, result.loss, *score, seconds)
                if not history or _better(report, history[self._best(history)]):
                    best_state = _copy_of_learnt(self.model, self.plan)
                history.append(report)
                watcher.epoch(report)
                epoch += 1
        _restore(self.model, best_state)
        return Trained(tuple(history), self._best(history) + 1)

    def _train_epoch(self, optimizer: torch.optim.Optimizer, epoch: int, watcher: Watcher) -> float:
        self.model.train()
        steps = self.train.training_steps
        total = torch.zeros((), device=self.device, dtype=torch.float64)
        batches = self.train.shuffled(seed=self.config.seed, epoch=epoch, augment=self.config.augment)
        for step, (pixels_BCHW, targets_B) in enumerate(batches):
            set_rates(optimizer, self._share(epoch * steps + step))
            images_BCHW = normalised(pixels_BCHW, self.train.preprocessing, self.device)
            outputs_BK = self.model(images_BCHW)
            targets_B = targets_B.to(self.device, non_blocking=True)
            loss = self.objective.loss(outputs_BK, targets_B, self.config.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.detach().double() * len(targets_B)
            watcher.step(epoch + 1, step + 1, steps)
        return self._finite(total.item() / len(self.train.part), epoch)

    def _solve(self, phase: Phase, epoch: int, watcher: Watcher) -> float | None:
        """Fit a head that is solved: at the start, and where nothing else learns. Returns its training loss if that was
        all that the epoch had to do, else None.
        """
        alone = only_solved(self.plan, phase, self.model.head)
        if alone or (epoch == 0 and isinstance(self.model.head, Solvable)):
            solve_head(self.model, self.train, self.device, self.config.seed)
        if not alone:
            return None
        watcher.step(epoch + 1, self.train.training_steps, self.train.training_steps)
        return self._finite(evaluate(self.model, self.train, self.device, self.objective).loss, epoch)

    def _finite(self, loss: float, epoch: int) -> float:
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} in epoch {epoch + 1}: the training diverged. Try a smaller --lr "
                f"(now {self.config.lr:g}); the run directory has the epochs before."
            )
        return loss

    def _share(self, step: int) -> float:
        return schedule(step, self.plan.epochs * self.train.training_steps, self.config.warmup)

    @staticmethod
    def _best(history: list[EpochReport]) -> int:
        return min(range(len(history)), key=lambda index: (-history[index].val_score, history[index].val_loss))


def _better(one: EpochReport, other: EpochReport) -> bool:
    return (one.val_score, -one.val_loss) > (other.val_score, -other.val_loss)


def _copy_of_learnt(model: Model, plan: Plan) -> dict[str, Tensor]:
    """What the training may have moved so far: the state of every part that learns in some phase."""
    rows = {row for phase in plan.phases for row in plan.learning(phase)}
    return {
        f"{row}/{name}": tensor.detach().clone()
        for row in sorted(rows)
        for name, tensor in model.part(row).state_dict().items()
    }


@torch.no_grad()
def _restore(model: Model, state: dict[str, Tensor]) -> None:
    for key, tensor in state.items():
        row, _, name = key.partition("/")
        model.part(row).state_dict(keep_vars=True)[name].copy_(tensor)
