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
from torch.nn import functional

from zoo_core.config import FinetuneConfig
from zoo_core.data.batches import Batches, normalised
from zoo_core.errors import TrainingError
from zoo_core.freezing.plan import Plan
from zoo_core.model.assemble import Model
from zoo_core.training.evaluate import evaluate
from zoo_core.training.recipe import Rates, make_optimizer, parameter_groups, schedule, set_rates


@dataclass(frozen=True)
class EpochReport:
    """One line of a run's metrics. Losses are means over images, `lr` the head's rate at the epoch's first step."""

    epoch: int
    phase: int
    lr: float
    train_loss: float
    val_loss: float
    val_accuracy: float
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
                train_loss = self._train_epoch(optimizer, epoch, watcher)
                result = evaluate(self.model, self.val, self.device)
                self._finite(result.loss, epoch)
                lr = self.config.lr * self._share(epoch * self.train.training_steps)
                seconds = time.perf_counter() - started
                report = EpochReport(epoch + 1, number + 1, lr, train_loss, result.loss, result.accuracy, seconds)
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
        for step, (pixels_BCHW, labels_B) in enumerate(batches):
            set_rates(optimizer, self._share(epoch * steps + step))
            images_BCHW = normalised(pixels_BCHW, self.train.preprocessing, self.device)
            outputs_BK = self.model(images_BCHW)
            labels_B = labels_B.to(self.device, non_blocking=True)
            loss = functional.cross_entropy(outputs_BK, labels_B, label_smoothing=self.config.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.detach().double() * len(labels_B)
            watcher.step(epoch + 1, step + 1, steps)
        return self._finite(total.item() / len(self.train.part), epoch)

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
        return min(range(len(history)), key=lambda index: (-history[index].val_accuracy, history[index].val_loss))


def _better(one: EpochReport, other: EpochReport) -> bool:
    return (one.val_accuracy, -one.val_loss) > (other.val_accuracy, -other.val_loss)


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
