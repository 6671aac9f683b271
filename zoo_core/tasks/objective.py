"""What each task asks for: a loss to train with, figures to measure with, answers to give.

Shapes: B batch, N images, K classes, labels or numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo_core.catalog import Catalog, Choice
from zoo_core.data.sources import Targets
from zoo_core.errors import UsageError
from zoo_core.specs import HeadSpec, Task
from zoo_core.tasks.metrics import THRESHOLD, ClassEvaluation, Evaluation, LabelEvaluation, NumberEvaluation
from zoo_core.tasks.units import units_of

Answers = tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class Objective:
    """A task, for one head, which may bring its own loss and has the units of a regression."""

    task: Task
    head: nn.Module

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """The mean loss of a batch: outputs (B, K), targets (B) for classes, else (B, K).

        Cross-entropy; for labels its binary form, the mean over labels; for numbers the mean squared error in the
        training targets' standard deviations. The head's own where it has a method `loss`.
        """
        own = own_loss(self.head)
        if own is not None:
            return own(outputs, targets)
        if self.task == "classification":
            return functional.cross_entropy(outputs, targets, label_smoothing=label_smoothing)
        if self.task == "multilabel":
            softened = targets * (1 - label_smoothing) + label_smoothing / 2
            return functional.binary_cross_entropy_with_logits(outputs, softened)
        units = units_of(self.head)
        return ((outputs - targets) / (1 if units is None else units.std)).square().mean()

    def measure(self, outputs_NK: Tensor, targets: Tensor) -> Evaluation:
        """The figures of a whole part, from outputs on the CPU."""
        device = next((parameter.device for parameter in self.head.parameters()), outputs_NK.device)
        loss = self.loss(outputs_NK.to(device), targets.to(device)).item()
        if self.task == "classification":
            classes = outputs_NK.shape[1]
            confusion = np.zeros((classes, classes), dtype=np.int64)
            np.add.at(confusion, (targets.numpy(), outputs_NK.argmax(1).numpy()), 1)
            return ClassEvaluation(confusion, loss)
        if self.task == "multilabel":
            return LabelEvaluation.of(outputs_NK.double().sigmoid().numpy(), targets.numpy(), loss)
        return NumberEvaluation(outputs_NK.double().numpy(), targets.double().numpy(), loss)

    def answers(self, outputs_K: Tensor, names: tuple[str, ...], top: int) -> Answers:
        """What the model says of one image: the `top` classes by probability, or the labels whose probability is above
        0.5, the likeliest first, or every number.
        """
        if self.task == "regression":
            return tuple(zip(names, outputs_K.tolist(), strict=True))
        shares_K = outputs_K.softmax(0) if self.task == "classification" else outputs_K.sigmoid()
        values, indices = shares_K.sort(descending=True, stable=True)
        ranked = [(names[index], value) for index, value in zip(indices.tolist(), values.tolist(), strict=True)]
        if self.task == "classification":
            return tuple(ranked[:top])
        return tuple((name, value) for name, value in ranked if value > THRESHOLD)


def own_loss(head: nn.Module) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The loss that a head brings, or None. A head may stand in a wrapper, such as the one that knows units."""
    return next((part.loss for part in (head, *head.children()) if hasattr(part, "loss")), None)  # type: ignore[return-value]


def objective_for(task: Task, head: nn.Module, targets: Targets | None = None) -> Objective:
    """The objective of a head; for a regression its units are taken from `targets`, those of the training part."""
    units = units_of(head)
    if task == "regression" and units is not None and targets is not None:
        with torch.no_grad():
            units.set_from(torch.from_numpy(targets))
    return Objective(task, head)


def check_task(task: Task, head: Choice[HeadSpec], catalog: Catalog, *, label_smoothing: float) -> None:
    """Raise UsageError when a head does not serve a task, naming those that do, or when a setting has no meaning."""
    if task not in head.spec.tasks:
        fitting = [entry.spec.name for entry in catalog.entries(HeadSpec) if task in entry.spec.tasks]
        raise UsageError(
            f"the head '{head.spec.name}' is for {' and '.join(head.spec.tasks)}, and the data ask for {task}. "
            f"Heads for it: {', '.join(fitting)}."
        )
    if task == "regression" and label_smoothing:
        raise UsageError("numbers are not smoothed: leave out --label-smoothing.")


def check_loss(head: nn.Module, *, label_smoothing: float) -> None:
    """Raise UsageError when a head brings a loss for which a setting has no meaning."""
    if label_smoothing and own_loss(head) is not None:
        raise UsageError("the head has a loss of its own, which softens no labels: leave out --label-smoothing.")
