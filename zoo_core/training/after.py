"""The end of a training: the best weights are measured, and what depends on held-out images is
fitted.

Shapes: N images of a part, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo_core.data.batches import Batches
from zoo_core.tasks.fitted import UNFITTED, Fitted
from zoo_core.tasks.metrics import Evaluation
from zoo_core.training.evaluator import Evaluator
from zoo_core.training.trainer import Trainer

MOST_OUTPUTS = 100_000_000  # of a part, which take 0.8 GB in float64


def measure_and_fit(trainer: Trainer, *, merged: bool) -> tuple[Evaluation, Fitted, Mapping[str, Any] | None]:
    """The evaluation of the test part, or else the validation part; what was fitted to the latter,
    and the figures of that.

    Nothing is fitted where the outputs of a part do not fit into memory. Raises Interrupted.
    """
    planner, objective = trainer.planner, trainer.objective
    measured = planner.test or planner.val
    if any(len(images.part) * len(planner.classes) > MOST_OUTPUTS for images in (measured, planner.val)):
        return trainer.measure_best(measured, Evaluator.evaluate, merged=merged), UNFITTED, None

    def outputs(images: Batches) -> Any:
        return trainer.measure_best(images, Evaluator.outputs, merged=merged)

    pairs = {"val": outputs(planner.val), **({} if planner.test is None else {"test": outputs(planner.test)})}
    evaluation = objective.measure(*pairs["val" if planner.test is None else "test"])
    held, test = (objective.outputs(part, *pairs[part]) if part in pairs else None for part in ("val", "test"))
    assert held is not None
    fitted, figures = objective.fit(held, test)
    return evaluation, fitted, figures
