"""The end of a training: the best weights are measured, and what depends on held-out images is
fitted.

Shapes: N images of a part, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo_core.data.batches import Batches
from zoo_core.tasks.fitted import UNFITTED, Fitted, too_many_outputs
from zoo_core.tasks.metrics import Evaluation
from zoo_core.training.evaluator import Evaluator
from zoo_core.training.trainer import Trainer


def measure_and_fit(trainer: Trainer, *, merged: bool) -> tuple[Evaluation, Fitted, Mapping[str, Any] | None]:
    """The evaluation of the test part, or else the validation part; what was fitted to the latter,
    and the figures of that.

    The first rank fits, and tells the others. Nothing is fitted where the outputs would take too
    much memory, which is said. Raises Interrupted.
    """
    planner, objective = trainer.planner, trainer.objective
    measured = planner.test or planner.val
    parts = [images.part for images in (planner.val, planner.test) if images is not None]
    too_many = too_many_outputs(sum(map(len, parts)), len(planner.classes))
    if too_many is not None:
        trainer.callback.message(too_many)
        return trainer.measure_best(measured, Evaluator.evaluate, merged=merged), UNFITTED, None

    def outputs(images: Batches) -> Any:
        return trainer.measure_best(images, Evaluator.outputs, merged=merged)

    pairs = {"val": outputs(planner.val), **({} if planner.test is None else {"test": outputs(planner.test)})}
    evaluation = objective.measure(*pairs["val" if planner.test is None else "test"])
    fit = None
    if planner.world.is_main:
        held, *test = (objective.outputs(part, *pair) for part, pair in pairs.items())
        fit = objective.fit(held, test[0] if test else None)
    fitted, figures = planner.world.broadcast_object(fit)
    return evaluation, fitted, figures
