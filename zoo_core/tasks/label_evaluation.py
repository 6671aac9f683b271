"""The evaluation of labels: their average precisions, and their counts at one threshold.

Shapes: N images, K labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo_core.tasks.metrics import Counts, FloatArray, Metric, average_precision, f1

THRESHOLD = 0.5  # the probability above which a label is predicted
MEAN_AVERAGE_PRECISION = Metric(
    "mean_average_precision", "mean average precision", "mAP", unit="%", factor=100, decimals=1
)


@dataclass(frozen=True, eq=False)
class LabelEvaluation:
    """The figures of each label (K): its average precision, NaN where no image has it, and counts.

    At a probability of 0.5 a label is rightly (`hits`), wrongly (`false_alarms`) or not (`misses`)
    given to so many images. `probabilities` (N, K) are those that were measured.
    """

    precisions: FloatArray
    hits: Counts
    false_alarms: Counts
    misses: Counts
    images: int
    loss: float
    probabilities: FloatArray

    @classmethod
    def from_probabilities(
        cls, probabilities_NK: FloatArray, targets_NK: npt.NDArray[Any], loss: float
    ) -> LabelEvaluation:
        true_NK, given_NK = targets_NK > 0.5, probabilities_NK > THRESHOLD
        columns = zip(probabilities_NK.T, true_NK.T, strict=True)
        return cls(
            precisions=np.array([average_precision(scores_N, true_N) for scores_N, true_N in columns]),
            hits=(given_NK & true_NK).sum(0),
            false_alarms=(given_NK & ~true_NK).sum(0),
            misses=(~given_NK & true_NK).sum(0),
            images=len(true_NK),
            loss=loss,
            probabilities=probabilities_NK,
        )

    @property
    def metric(self) -> str:
        return MEAN_AVERAGE_PRECISION.name

    @property
    def score(self) -> float:
        """The mean over the labels that some image has; 0 when none has any."""
        known = self.precisions[~np.isnan(self.precisions)]
        return float(known.mean()) if len(known) else 0.0

    @property
    def micro_f1(self) -> float:
        """F1 of all decisions together."""
        return float(f1(self.hits.sum(), self.false_alarms.sum(), self.misses.sum()))

    @property
    def f1(self) -> FloatArray:
        """F1 of each label; 0 where it was neither there nor given."""
        each: FloatArray = f1(self.hits, self.false_alarms, self.misses)
        return each

    @property
    def macro_f1(self) -> float:
        """The mean F1 over labels."""
        return float(self.f1.mean())

    def figures(self) -> dict[str, Any]:
        return {
            "mean_average_precision": self.score,
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "average_precisions": [None if math.isnan(value) else value for value in self.precisions.tolist()],
            "f1s": self.f1.tolist(),
            "positives": (self.hits + self.misses).tolist(),
        }

    def by_output(self, names: Sequence[str]) -> list[dict[str, Any]]:
        figures = self.figures()
        rows = zip(names, figures["average_precisions"], figures["f1s"], figures["positives"], strict=True)
        return [
            {"label": name, "average_precision": precision, "f1": f1, "images": images}
            for name, precision, f1, images in rows
        ]
