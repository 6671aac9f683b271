"""The end of a training: the best weights are measured, and what depends on held-out images is
fitted.

Shapes: N images of a part, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from zoo_core.data.batches import Batches
from zoo_core.data.sources import windows_of
from zoo_core.frozen.inputs import Inputs, Sample
from zoo_core.frozen.split import SplitPoint, Tail
from zoo_core.tasks.familiar import Familiar, fit_familiar
from zoo_core.tasks.fitted import FEWEST_IMAGES, UNFITTED, Fitted, too_many_outputs
from zoo_core.tasks.metrics import Evaluation
from zoo_core.training.evaluator import Evaluator
from zoo_core.training.trainer import Trainer

NOTHING_HELD_OUT = (
    "no image was held out to validate with: no temperature, no thresholds and no limit to strangers are fitted, and the "
    "last epoch counts"
)
MOST_DESCRIBED = 1000  # images of a part whose features tell which images are familiar


def measure_and_fit(trainer: Trainer, *, merged: bool) -> tuple[Evaluation | None, Fitted, Mapping[str, Any] | None]:
    """The evaluation of the test part, or else the validation part, or none where there is neither;
    what was fitted to the validation part, and the figures of that.

    The first rank fits, and tells the others. Nothing is fitted where the outputs would take too
    much memory, which is said. Raises Interrupted.
    """
    planner, objective = trainer.planner, trainer.objective
    measured = planner.test or planner.val
    if planner.val is None:
        trainer.callback.message(NOTHING_HELD_OUT)
    if measured is None:
        return None, UNFITTED, None
    parts = [images.part for images in (planner.val, planner.test) if images is not None]
    too_many = too_many_outputs(sum(map(len, parts)), len(planner.classes))
    measure = partial(Evaluator.evaluate, groups=measured.part.groups)
    if planner.val is None:
        return trainer.measure_best(measured, measure, merged=merged), UNFITTED, None
    if too_many is not None:
        trainer.callback.message(too_many)
        return trainer.measure_best(measured, measure, merged=merged), UNFITTED, None

    def outputs(images: Batches) -> Any:
        return trainer.measure_best(images, Evaluator.outputs, merged=merged)

    pairs = {"val": outputs(planner.val), **({} if planner.test is None else {"test": outputs(planner.test)})}
    outputs_NK, targets = pairs["val" if planner.test is None else "test"]
    evaluation = objective.measure(outputs_NK, targets, measured.part.groups)
    fit = None
    if planner.world.is_main:
        held, *test = (objective.outputs(part, *pair) for part, pair in pairs.items())
        fit = objective.fit(held, test[0] if test else None)
    fitted, figures = planner.world.broadcast_object(fit)
    return evaluation, replace(fitted, familiar=_familiar(trainer, merged=merged)), figures


def _familiar(trainer: Trainer, *, merged: bool) -> Familiar | None:
    """The distribution of the features of some training images, limited by those of the validation
    images; None where these are too few."""

    def features(images: Batches) -> tuple[Tensor, Tensor]:
        def measure(evaluator: Evaluator, network: nn.Module, inputs: Inputs) -> tuple[Tensor, Tensor]:
            chosen = np.arange(len(inputs))
            if windows_of(images.part.images) is None:  # else every shard would be fetched for it
                chosen = np.random.default_rng(0).permutation(chosen)  # a table may go round its classes
            some = Sample(inputs, sorted(chosen[:MOST_DESCRIBED].tolist()))
            tail = network if isinstance(network, Tail) else Tail(trainer.model, SplitPoint(0))
            return evaluator.outputs(network, some, tail.described)

        return trainer.measure_best(images, measure, merged=merged)

    val = trainer.planner.val
    if val is None or len(val.part) < FEWEST_IMAGES:
        return None
    of_train, targets = features(trainer.planner.train)
    single = trainer.objective.task.single_label
    groups = targets.numpy() if single else np.zeros(len(targets), dtype=np.int64)
    familiar = fit_familiar(of_train.double().numpy(), groups)
    return familiar and familiar.limited_by(features(val)[0].double().numpy())
