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

from zoo_core.attribution import marked_owner
from zoo_core.catalog import Catalog, Choice
from zoo_core.devices.transfer import check_number_type, to_device
from zoo_core.errors import PluginError, UsageError, brief
from zoo_core.specs import HeadSpec, TaskName
from zoo_core.tasks import task_named
from zoo_core.tasks.chosen import ChosenMetric
from zoo_core.tasks.fitted import MOST_OUTPUTS, UNFITTED, Fitted, Outputs, fit_numbers, fit_probabilities
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
    fitted: Fitted = UNFITTED
    """The fit to validation images: it changes answers, and not the figures of an
    evaluation."""

    @property
    def metric(self) -> Metric:
        """The metric that counts."""
        return self.task.metric if self.chosen is None else self.chosen.shown

    def loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
        gamma: float = 0.0,
    ) -> Tensor:
        """The mean loss of a batch: the head's own, if it has a method `loss`, or the task's. Raises
        PluginError for a loss of the head that is not one number, or does not follow from the outputs."""
        own = own_loss(self.head)
        if own is not None:
            loss = own(outputs, targets)
            if not isinstance(loss, Tensor) or loss.ndim or (outputs.requires_grad and not loss.requires_grad):
                owner = next(filter(None, map(marked_owner, self.head.modules())), "the head")
                raise PluginError(
                    f"{owner} has a loss that gives {brief(loss)}, and a training needs one number: the mean over the "
                    "batch, as a tensor that follows from the outputs. `zoo plugin check` tries it."
                )
            return loss
        return self.task.loss(
            outputs,
            targets,
            head=self.head,
            label_smoothing=label_smoothing,
            class_weights=class_weights,
            gamma=gamma,
        )

    def measure(self, outputs_NK: Tensor, targets: Tensor, groups: Sequence[str] | None = None) -> Evaluation:
        """The figures of a set of images, from outputs and targets on the CPU; `groups` name that of
        each image."""
        device = device_of(self.head)
        loss = self.loss(to_device(outputs_NK, device), to_device(targets, device)).item()
        evaluation: Any = self.task.evaluate(outputs_NK, targets, loss)
        if self.chosen is not None:
            answers_NK = self.task.values(outputs_NK.double()).numpy()
            evaluation = replace(evaluation, chosen=self.chosen.score(answers_NK, targets.numpy()))
        measured: Evaluation = evaluation.grouped(groups)
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

    def whole(self, parts: Sequence[Partial], groups: Sequence[str] | None = None) -> Evaluation:
        """The evaluation of a set of images from the shares of its batches, in order."""
        if isinstance(parts[0], tuple):
            return self.measure(*concatenated(parts), groups)
        evaluation: Evaluation = self.task.join(parts).grouped(groups)
        return evaluation

    def values(self, outputs_NK: Tensor) -> Tensor:
        """The answers (N, K) in outputs: probabilities, by the fitted temperature, or numbers."""
        return self.task.values(outputs_NK / self.fitted.temperature)

    def answers(
        self,
        outputs_K: Tensor,
        names: tuple[str, ...],
        top: int,
        threshold: float | None = None,
        bounds: Sequence[float] | None = None,
    ) -> Answers:
        """The answers for one image: names with values. Without a threshold the fitted ones count.

        With bounds it is the conformal set of classes, which has at least the most probable one.
        """
        least = self.fitted.thresholds_K if threshold is None else threshold
        in_set = bounds is not None and self.task.single_label
        found = self.task.answers(outputs_K / self.fitted.temperature, names, len(names) if in_set else top, least)
        if bounds is None or not in_set:
            return found
        return (*found[:1], *((name, value) for name, value in found[1:] if 1 - value <= bounds[0]))

    def intervals(self, values_K: Sequence[float], bounds: Sequence[float] | None) -> tuple[tuple[float, float], ...]:
        """The interval of each number, where there are bounds."""
        if bounds is None or self.task.single_label:
            return ()
        return tuple((value - bound, value + bound) for value, bound in zip(values_K, bounds, strict=True))

    def bounds(self, coverage: float) -> list[float]:
        """The bounds of sets or intervals that hold the true answer for this share of images.

        Raises UsageError for a coverage that is no share, and where nothing was recorded to tell
        the bounds by.
        """
        if not 0 < coverage < 1:
            raise UsageError(f"a coverage lies between 0 and 1, such as 0.9; it is {coverage:g}.")
        if self.task.has_temperature and not self.task.single_label:
            raise UsageError("labels have no sets with a coverage: each has a probability and a threshold.")
        if self.fitted.scores is None:
            raise UsageError(
                "this model has no record of its answers on validation images, from which sets and intervals follow. "
                f"Runs of `zoo finetune` with at most {MOST_OUTPUTS:,} outputs for held-out images have one; those of zoo 0.2 "
                "and before are trained again."
            )
        found = self.fitted.bounds(coverage)
        if found is None:
            images = len(self.fitted.scores)
            raise UsageError(
                f"with {images} validation images a coverage of {coverage:g} cannot be promised. Give at most "
                f"{1000 * images // (images + 1) / 1000:.3f}, or train with a larger --val-share."
            )
        return found

    def outputs(self, part: str, outputs_NK: Tensor, targets: Tensor) -> Outputs:
        """The outputs of a part as calibration takes them."""
        return Outputs(part, outputs_NK.double().numpy(), targets.numpy())

    def fit(self, held: Outputs, test: Outputs | None) -> tuple[Fitted, dict[str, Any] | None]:
        """Fit to the outputs for the validation images; the figures of a result, or None."""
        if self.task.has_temperature:
            return fit_probabilities(held, test, self.chosen)
        return fit_numbers(held, test)


def concatenated(parts: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Outputs (N, K) and targets (N) or (N, K) of batches, in order."""
    outputs, targets = zip(*parts, strict=True)
    return torch.cat(outputs).clone(), torch.cat(targets)  # cloned, because autograd refuses inference tensors


def own_loss(head: nn.Module) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The loss that a head brings, or None. The head may stand in a wrapper with units."""
    return next((part.loss for part in (head, *head.children()) if hasattr(part, "loss")), None)  # type: ignore[return-value]


def device_of(head: nn.Module) -> torch.device:
    """The device of a head's numbers; the CPU for a head without."""
    return next((parameter.device for parameter in head.parameters()), torch.device("cpu"))


def objective_for(
    name: TaskName, head: nn.Module, targets: Targets | None = None, chosen: ChosenMetric | None = None
) -> Objective:
    """The objective of a head. `targets` are those of the training part: they set the units."""
    task = task_named(name)
    if targets is not None:
        check_number_type(torch.from_numpy(targets[:1]), device_of(head))
        task.fit_units(head, targets)
    return Objective(task, head, chosen)


def check_task(
    name: TaskName, head: Choice[HeadSpec], catalog: Catalog, *, label_smoothing: float, gamma: float = 0.0
) -> None:
    """Raise UsageError when a head does not serve a task, naming those that do.

    Also when `label_smoothing` or a focal loss have no meaning for the task.
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
    if gamma and not task.has_temperature:
        raise UsageError(f"--loss is for classes and labels, and these data have {task.outputs}: leave it out.")


def check_loss(head: nn.Module, *, label_smoothing: float, gamma: float = 0.0) -> None:
    """Raise UsageError when a head brings a loss for which a setting has no meaning."""
    if label_smoothing and own_loss(head) is not None:
        raise UsageError("the head has a loss of its own, which softens no labels: leave out --label-smoothing.")
    if gamma and own_loss(head) is not None:
        raise UsageError("the head has a loss of its own: leave out --loss.")
