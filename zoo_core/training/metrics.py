"""What a model is worth on a part of the data, counted exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """`confusion[i, j]` counts the images of class i that were called class j; `loss` is the mean over images."""

    confusion: Counts
    loss: float

    @property
    def images(self) -> int:
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        return self.correct / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the accuracy."""
        return wilson(self.correct, self.images)

    def recalls(self) -> list[float]:
        """The share of each class's images that were found; NaN for a class without images."""
        totals = self.confusion.sum(axis=1)
        return [
            float(hit) / float(n) if n else math.nan for hit, n in zip(self.confusion.diagonal(), totals, strict=True)
        ]


def wilson(correct: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson, 1927); z = 1.96 gives 95 %."""
    share = correct / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)
