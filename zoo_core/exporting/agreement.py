"""How far the answers of an exported file may be from those of its run.

Shapes: N images, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo_core.errors import printable
from zoo_core.tasks.metrics import Interval, Metric
from zoo_core.tasks.objective import Objective

DIFFERENCES: dict[str, float | None] = {"fp32": 1e-4, "fp16": 0.02, "int8": None}
"""The largest difference of an answer by precision: float32 in another order of operations stays
far below its bound; the answers of 8-bit integers are held by their score."""
MAX_LOSS = 0.01  # of the score: one point
SHOWN = 3  # images with another answer that a message names


@dataclass(frozen=True)
class Tolerance:
    """The largest difference of an answer, None without a bound, and the largest loss of score; of a
    score beyond 1, such as an R2 far below 0, a share of it."""

    difference: float | None
    loss: float


@dataclass(frozen=True)
class Agreement:
    """The answers of a file beside those of its run."""

    images: int
    difference: float
    """The largest of any answer; of a number above 1, as a share of it."""
    worst: str
    """The image with the largest difference."""
    changed: tuple[str, ...]
    """The images with another class, or with other labels."""
    metric: Metric
    before: float
    before_interval: Interval | None
    after: float
    after_interval: Interval | None
    are_numbers: bool = False
    """Whether the answers are numbers, of which none is another one."""

    @property
    def loss(self) -> float:
        """The loss of score, below 0 where the file has a higher one."""
        return self.before - self.after

    def objection(self, tolerance: Tolerance) -> str | None:
        """The reason to refuse the file, as the end of a sentence, or None."""
        if tolerance.difference is not None and not self.difference <= tolerance.difference:
            return (
                f"answers otherwise than the run: by up to {self.difference:.2g}, and the tolerance is "
                f"{tolerance.difference:g}, most for {printable(self.worst)}{self.changes}"
            )
        allowed = tolerance.loss * max(1, abs(self.before))
        if not self.loss <= allowed:
            text = self.metric.text
            return (
                f"loses {self.metric.title}: {text(self.before)} become {text(self.after)} on {self.images} images, "
                f"and {text(allowed)} may be lost{self.changes}"
            )
        return None

    @property
    def changes(self) -> str:
        """The images with other answers, in words; nothing for numbers."""
        if self.are_numbers:
            return ""
        count = f"; {len(self.changed) or 'none'} of {self.images} answers change"
        named = ", ".join(map(printable, self.changed[:SHOWN]))
        return f"{count} ({named}{', ...' if len(self.changed) > SHOWN else ''})" if self.changed else count


def compared(
    objective: Objective,
    expected_NK: Tensor,
    found_NK: Tensor,
    targets: Tensor,
    names: list[str],
    groups: Sequence[str] | None = None,
) -> Agreement:
    """Compare answers (N, K) with those of the run; both are measured against the targets by the
    task's own metric, with the group of each image if it has one."""
    task = objective.task
    difference_N = ((found_NK - expected_NK).abs() / expected_NK.abs().clamp_min(1)).amax(1)
    difference_N = difference_N.nan_to_num(torch.inf, posinf=torch.inf)
    worst = int(difference_N.argmax())
    rows = [slice(index, index + 1) for index in range(len(names))]
    changed = tuple(
        name for name, row in zip(names, rows, strict=True) if _differ(objective, expected_NK[row], found_NK[row])
    )
    before, after = (
        task.evaluate(answers_NK, targets, 0.0).grouped(groups) for answers_NK in (expected_NK, found_NK.nan_to_num())
    )
    return Agreement(
        images=len(names),
        difference=float(difference_N[worst]),
        worst=names[worst],
        changed=changed,
        metric=task.metric,
        before=before.score,
        before_interval=before.score_interval,
        after=after.score,
        after_interval=after.score_interval,
        are_numbers=task.answers_with_all,
    )


def _differ(objective: Objective, expected_1K: Tensor, found_1K: Tensor) -> bool:
    """Whether an image is given another class, or other labels by the fitted thresholds."""
    thresholds_K = objective.fitted.thresholds_K
    if thresholds_K is None:
        return bool(objective.task.changed(expected_1K, found_1K))
    least_K = torch.from_numpy(thresholds_K)
    return bool(((expected_1K > least_K) != (found_1K > least_K)).any())
