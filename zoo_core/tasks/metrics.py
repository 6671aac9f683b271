"""Metrics of predictions, exact and in numpy alone.

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


@dataclass(frozen=True)
class Metric:
    """The score of a task: `name` in JSON, `title` in text, `short` above columns, `unit` at axes."""

    name: str
    title: str
    short: str
    unit: str
    factor: float
    decimals: int

    def text(self, score: float) -> str:
        """A score as people write it: 91.3 % or 0.871."""
        shown = f"{self.factor * score:.{self.decimals}f}"
        return f"{shown} %" if self.unit == "%" else shown


ACCURACY = Metric("accuracy", "accuracy", "accuracy", unit="%", factor=100, decimals=1)


class Evaluation(Protocol):
    """The figures of a model on a set of images. `loss` is their mean; a high score is good."""

    @property
    def metric(self) -> str:
        """The name of the score."""

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


@dataclass(frozen=True)
class Baseline:
    """The score of the best answer that never looks at an image; of a regression also its RMSE."""

    score: float
    rmse: float | None = None

    def to_dict(self) -> dict[str, float]:
        return {"score": self.score} if self.rmse is None else {"score": self.score, "rmse": self.rmse}


def wilson(correct: float, total: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson, 1927); z = 1.96 gives 95 %."""
    share = correct / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def average_precision(scores_N: FloatArray, true_N: npt.NDArray[np.bool_]) -> float:
    """The precision at every threshold, weighted by the recall it adds; NaN when nothing is true.

    Images of equal score fall below a threshold together.
    """
    if not true_N.any():
        return math.nan
    order = np.argsort(-scores_N, kind="stable")
    last_of_its_score = np.append(np.diff(scores_N[order]) != 0, True)
    found = np.cumsum(true_N[order])[last_of_its_score]
    precision = found / (np.flatnonzero(last_of_its_score) + 1)
    return float((precision * np.diff(found, prepend=0)).sum() / found[-1])


def resampled_precisions(scores_N: FloatArray, true_N: npt.NDArray[np.bool_], weights_BN: FloatArray) -> FloatArray:
    """`average_precision` in each of B resamples, in which image n stands `weights_BN[b, n]` times."""
    order = np.argsort(-scores_N, kind="stable")
    last_of_its_score = np.append(np.diff(scores_N[order]) != 0, True)
    weights_BN = weights_BN[:, order]
    given = weights_BN.cumsum(1)[:, last_of_its_score]
    found = (weights_BN * true_N[order]).cumsum(1)[:, last_of_its_score]
    precision = found / np.maximum(given, 1)
    total = found[:, -1]
    summed = (precision * np.diff(found, prepend=0)).sum(1)
    return np.where(total > 0, summed / np.where(total > 0, total, 1), np.nan)


def balanced_accuracy(options: object, *, answers: FloatArray, targets: npt.NDArray[np.int64]) -> float:
    """The mean over the classes that occur of the share of their images whose most probable class
    is the true one (Brodersen et al. 2010, The Balanced Accuracy and Its Posterior Distribution).

    `answers` (N, K) are probabilities, `targets` (N) class indices.
    """
    right_N = answers.argmax(1) == targets
    return float(np.mean([right_N[targets == label].mean() for label in np.unique(targets)]))


def f1(hits: Any, false_alarms: Any, misses: Any) -> Any:
    """F1 of counts, numbers or arrays; 0 where nothing was true and nothing was predicted."""
    return 2 * hits / np.maximum(2 * hits + false_alarms + misses, 1)


def rmse(predicted_NK: FloatArray, true_NK: FloatArray) -> FloatArray:
    """The root of the mean squared error of each column (K)."""
    each: FloatArray = np.sqrt(np.square(predicted_NK - true_NK).mean(0))
    return each


def mae(predicted_NK: FloatArray, true_NK: FloatArray) -> FloatArray:
    """The mean absolute error of each column (K)."""
    each: FloatArray = np.abs(predicted_NK - true_NK).mean(0)
    return each


def r2(predicted_NK: FloatArray, true_NK: FloatArray) -> FloatArray:
    """The explained share of each column's variance (K): 1 at best, 0 where nothing varies."""
    varying = np.square(true_NK - true_NK.mean(0)).sum(0)
    left = np.square(predicted_NK - true_NK).sum(0)
    varies = true_NK.max(0) > true_NK.min(0)  # of equal numbers rounding may leave a variance
    return np.where(varies, 1 - left / np.where(varies, varying, 1), 0.0)


def resampled_r2(predicted_NK: FloatArray, true_NK: FloatArray, weights_BN: FloatArray) -> FloatArray:
    """`r2` in each of B resamples (B, K), in which image n stands `weights_BN[b, n]` times."""
    images_B1 = np.maximum(weights_BN.sum(1, keepdims=True), 1)
    true_NK, predicted_NK = true_NK - true_NK.mean(0), predicted_NK - true_NK.mean(0)
    # The sum of squares around the mean, from numbers that are near 0: else large ones would cancel out.
    varying = weights_BN @ np.square(true_NK) - np.square(weights_BN @ true_NK) / images_B1
    left = weights_BN @ np.square(predicted_NK - true_NK)
    least = 1e-12 * (weights_BN @ np.square(true_NK))  # where nothing varies rounding leaves this much
    return np.where(varying > least, 1 - left / np.where(varying > least, varying, 1), 0.0)
