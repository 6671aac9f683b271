"""A task with the head that is trained for it, which may bring its own loss and holds units.

Shapes: B batch, N images, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo_core.catalog import Catalog, Choice
from zoo_core.errors import UsageError
from zoo_core.specs import HeadSpec, TaskName
from zoo_core.tasks import task_named
from zoo_core.tasks.chosen import ChosenMetric
from zoo_core.tasks.metrics import Baseline, Evaluation, Metric
from zoo_core.tasks.targets import Targets
from zoo_core.tasks.task import Answers, Task

Partial = Evaluation | tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss, the evaluation and the answers of a task for one head."""

    task: Task[Any]
    head: nn.Module
    chosen: ChosenMetric | None = None
    """The metric by which evaluations are scored, None for the task's own."""

    @property
    def metric(self) -> Metric:
        """The metric that counts."""
        return self.task.metric if self.chosen is None else self.chosen.shown

    def loss(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """The mean loss of a batch: the head's own, if it has a method `loss`, or the task's."""
        own = own_loss(self.head)
        if own is not None:
            return own(outputs, targets)
        return self.task.loss(outputs, targets, head=self.head, label_smoothing=label_smoothing)

    def measure(self, outputs_NK: Tensor, targets: Tensor) -> Evaluation:
        """The figures of a set of images, from outputs and targets on the CPU."""
        device = next((parameter.device for parameter in self.head.parameters()), outputs_NK.device)
        loss = self.loss(outputs_NK.to(device), targets.to(device)).item()
        evaluation: Any = self.task.evaluate(outputs_NK, targets, loss)
        if self.chosen is not None:
            answers_NK = self.task.values(outputs_NK.double()).numpy()
            evaluation = replace(evaluation, chosen=self.chosen.score(answers_NK, targets.numpy()))
        measured: Evaluation = evaluation
        return measured

    def baseline(self, train_targets: Targets, targets: Targets, num_outputs: int) -> Baseline:
        """The score on `targets` of the best constant answer, found in the training targets."""
        if self.chosen is None:
            return self.task.baseline(train_targets, targets)
        answer_K = self.task.constant(train_targets, num_outputs)
        return Baseline(self.chosen.compute(np.tile(answer_K, (len(targets), 1)), targets))

    def partial(self, outputs_BK: Tensor, targets: Tensor) -> Partial:
        """The share of a batch in an evaluation: its own evaluation, or outputs and targets where
        all are needed."""
        if self.chosen is None and self.task.is_joined(outputs_BK.shape[1]):
            return self.measure(outputs_BK, targets)
        return outputs_BK, targets

    def whole(self, parts: Sequence[Partial]) -> Evaluation:
        """The evaluation of a set of images from the shares of its batches, in order."""
        if isinstance(parts[0], tuple):
            return self.measure(*concatenated(parts))
        evaluation: Evaluation = self.task.join(parts)
        return evaluation

    def answers(self, outputs_K: Tensor, names: tuple[str, ...], top: int, threshold: float | None = None) -> Answers:
        """The answers for one image: names with values."""
        return self.task.answers(outputs_K, names, top, threshold)


def concatenated(parts: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Outputs (N, K) and targets (N) or (N, K) of batches, in order."""
    outputs, targets = zip(*parts, strict=True)
    return torch.cat(outputs).clone(), torch.cat(targets)  # cloned, because autograd refuses inference tensors


def own_loss(head: nn.Module) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The loss that a head brings, or None. The head may stand in a wrapper with units."""
    return next((part.loss for part in (head, *head.children()) if hasattr(part, "loss")), None)  # type: ignore[return-value]


def objective_for(
    name: TaskName, head: nn.Module, targets: Targets | None = None, chosen: ChosenMetric | None = None
) -> Objective:
    """The objective of a head. `targets` are those of the training part: they set the units."""
    task = task_named(name)
    if targets is not None:
        task.fit_units(head, targets)
    return Objective(task, head, chosen)


def check_task(name: TaskName, head: Choice[HeadSpec], catalog: Catalog, *, label_smoothing: float) -> None:
    """Raise UsageError when a head does not serve a task, naming those that do.

    Also when `label_smoothing` has no meaning for the task.
    """
    if name not in head.spec.tasks:
        fitting = [entry.spec.name for entry in catalog.entries(HeadSpec) if name in entry.spec.tasks]
        raise UsageError(
            f"the head '{head.spec.name}' is for {' and '.join(head.spec.tasks)}, and the data ask for {name}. "
            f"Heads for it: {', '.join(fitting)}."
        )
    task = task_named(name)
    if label_smoothing and not task.smooths_labels:
        raise UsageError(f"{task.outputs} are not smoothed: leave out --label-smoothing.")


def check_loss(head: nn.Module, *, label_smoothing: float) -> None:
    """Raise UsageError when a head brings a loss for which a setting has no meaning."""
    if label_smoothing and own_loss(head) is not None:
        raise UsageError("the head has a loss of its own, which softens no labels: leave out --label-smoothing.")
