"""What a model is worth on a part of the data, counted exactly.

Shapes: N images, K classes, labels or numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
THRESHOLD = 0.5  # the probability above which a label counts as given


class Evaluation(Protocol):
    """What was measured; `loss` is a mean over images, and of two scores the higher is the better."""

    @property
    def metric(self) -> str:
        """What the score is called."""

    @property
    def score(self) -> float: ...

    @property
    def images(self) -> int: ...

    @property
    def loss(self) -> float: ...

    def figures(self) -> dict[str, Any]:
        """Every figure as plain data for JSON."""

    def by_output(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """The figures of each class, label or number, as plain data for JSON."""


@dataclass(frozen=True, eq=False)
class ClassEvaluation:
    """`confusion[i, j]` counts the images of class i that were called class j."""

    confusion: Counts
    loss: float

    @property
    def metric(self) -> str:
        return "accuracy"

    @property
    def score(self) -> float:
        return self.accuracy

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

    def figures(self) -> dict[str, Any]:
        return {
            "correct": self.correct,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "confusion": self.confusion.tolist(),
        }

    def by_output(self, names: Sequence[str]) -> list[dict[str, Any]]:
        return [
            {"class": name, "found": int(row[index]), "images": int(row.sum())}
            for index, (name, row) in enumerate(zip(names, self.confusion, strict=True))
        ]


def wilson(correct: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson, 1927); z = 1.96 gives 95 %."""
    share = correct / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, eq=False)
class LabelEvaluation:
    """Of each label: its average precision (NaN where no image has it), and at a probability of 0.5 how many images
    were rightly, wrongly and not given it.
    """

    precisions: FloatArray
    hits: Counts
    false_alarms: Counts
    misses: Counts
    images: int
    loss: float

    @classmethod
    def batches(cls, probabilities_NK: FloatArray, targets_NK: npt.NDArray[Any], loss: float) -> LabelEvaluation:
        true_NK, given_NK = targets_NK > 0.5, probabilities_NK > THRESHOLD
        return cls(
            precisions=np.array(
                [average_precision(*columns) for columns in zip(probabilities_NK.T, true_NK.T, strict=True)]
            ),
            hits=(given_NK & true_NK).sum(0),
            false_alarms=(given_NK & ~true_NK).sum(0),
            misses=(~given_NK & true_NK).sum(0),
            images=len(true_NK),
            loss=loss,
        )

    @property
    def metric(self) -> str:
        return "mean_average_precision"

    @property
    def score(self) -> float:
        """The mean over the labels that some image has; 0 when none has any."""
        known = self.precisions[~np.isnan(self.precisions)]
        return float(known.mean()) if len(known) else 0.0

    @property
    def micro_f1(self) -> float:
        """F1 of all decisions together."""
        return float(_f1(self.hits.sum(), self.false_alarms.sum(), self.misses.sum()))

    @property
    def f1(self) -> FloatArray:
        """F1 of each label; 0 where it was neither there nor given."""
        each: FloatArray = _f1(self.hits, self.false_alarms, self.misses)
        return each

    def figures(self) -> dict[str, Any]:
        return {
            "mean_average_precision": self.score,
            "micro_f1": self.micro_f1,
            "macro_f1": float(self.f1.mean()),
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


def average_precision(scores_N: FloatArray, true_N: npt.NDArray[np.bool_]) -> float:
    """The precision at every threshold, weighted by how much recall it adds; NaN when nothing is true.

    Images of equal score fall below a threshold together.
    """
    if not true_N.any():
        return math.nan
    order = np.argsort(-scores_N, kind="stable")
    last_of_its_score = np.append(np.diff(scores_N[order]) != 0, True)
    found = np.cumsum(true_N[order])[last_of_its_score]
    precision = found / (np.flatnonzero(last_of_its_score) + 1)
    return float((precision * np.diff(found, prepend=0)).sum() / found[-1])


def _f1(hits: Any, false_alarms: Any, misses: Any) -> Any:
    return 2 * hits / np.maximum(2 * hits + false_alarms + misses, 1)


@dataclass(frozen=True, eq=False)
class NumberEvaluation:
    """Predicted and true numbers, (N, K) each, in the targets' units."""

    predicted: FloatArray
    true: FloatArray
    loss: float

    @property
    def metric(self) -> str:
        return "r2"

    @property
    def score(self) -> float:
        """The mean of the columns' R2, so that no column's unit decides which epoch is the best."""
        return float(self.r2.mean())

    @property
    def images(self) -> int:
        return len(self.true)

    @property
    def rmse(self) -> FloatArray:
        """The root of the mean squared error of each column."""
        each: FloatArray = np.sqrt(np.square(self.predicted - self.true).mean(0))
        return each

    @property
    def mae(self) -> FloatArray:
        """The mean absolute error of each column."""
        each: FloatArray = np.abs(self.predicted - self.true).mean(0)
        return each

    @property
    def r2(self) -> FloatArray:
        """The share of each column's variance that is explained: 1 at best, 0 for its mean, 0 where nothing varies."""
        varying = np.square(self.true - self.true.mean(0)).sum(0)
        left = np.square(self.predicted - self.true).sum(0)
        return np.where(varying > 0, 1 - left / np.where(varying > 0, varying, 1), 0.0)

    def figures(self) -> dict[str, Any]:
        return {
            "rmse": float(np.sqrt(np.square(self.rmse).mean())),
            "mae": float(self.mae.mean()),
            "r2": self.score,
            "rmses": self.rmse.tolist(),
            "maes": self.mae.tolist(),
            "r2s": self.r2.tolist(),
        }

    def by_output(self, names: Sequence[str]) -> list[dict[str, Any]]:
        rows = zip(names, self.rmse.tolist(), self.mae.tolist(), self.r2.tolist(), strict=True)
        return [{"number": name, "rmse": rmse, "mae": mae, "r2": r2} for name, rmse, mae, r2 in rows]
