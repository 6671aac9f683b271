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
    """A score as it is shown: `name` in JSON, `title` in text, `short` above columns, `unit` at
    axes.

    `at_most` is a number that no score exceeds.
    """

    name: str
    title: str
    short: str
    unit: str
    factor: float
    decimals: int
    higher_is_better: bool = True
    is_proportion: bool = False
    """Whether it is the share of the images that have some property."""
    at_most: float = math.inf

    def text(self, score: float) -> str:
        """A score as people write it: 91.3 % or 0.871."""
        shown = f"{self.factor * score:.{self.decimals}f}"
        return f"{shown} %" if self.unit == "%" else shown

    def interval_text(self, interval: tuple[float, float]) -> str:
        """An interval of the score: 89.0 to 93.1 %."""
        low, high = interval
        return f"{self.text(low).removesuffix(' %')} to {self.text(high)}"

    def gain(self, score: float) -> float:
        """A number that is higher for a better score."""
        return score if self.higher_is_better else -score

    def standard_error(self, score: float, images: int) -> float:
        """The standard error of a proportion (Agresti and Coull, 1998): two right and two wrong
        answers are added, so that it is not 0 where all are right."""
        share = (score * images + 2) / (images + 4)
        return math.sqrt(share * (1 - share) / (images + 4))


ACCURACY = Metric("accuracy", "accuracy", "accuracy", unit="%", factor=100, decimals=1, is_proportion=True, at_most=1.0)
Interval = tuple[float, float]


class Evaluation(Protocol):
    """The figures of a model on a set of images. `loss` is their mean."""

    @property
    def shown(self) -> Metric:
        """The metric that counts: the one that was chosen, or the task's own."""

    @property
    def metric(self) -> str:
        """Its name."""

    @property
    def score(self) -> float: ...

    @property
    def score_interval(self) -> Interval | None:
        """The 95 % interval of the score, None where there are too few or too many images
        for a bootstrap."""

    @property
    def standard_error(self) -> float | None:
        """The standard error of the score, None where there is no interval either."""

    @property
    def images(self) -> int: ...

    @property
    def groups(self) -> int | None:
        """The number of groups of images by which the interval goes; None where each image counts
        for itself."""

    def grouped(self, groups: Sequence[str | None] | None) -> Evaluation:
        """The evaluation of images that belong to these groups (N); the same for None."""

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


def wilson(correct: float, total: float, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson, 1927); z = 1.96 gives 95 %."""
    share = correct / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def known_figures(figures_K: FloatArray) -> list[float | None]:
    """Figures for JSON, None where there is none."""
    return [None if math.isnan(figure) else figure for figure in figures_K.tolist()]


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


def area_under_roc(scores_N: FloatArray, true_N: npt.NDArray[np.bool_]) -> float:
    """The area under the ROC curve: the share of pairs of a true and another image of which the
    true one has the higher score (Mann and Whitney, 1947); equal scores count half.

    NaN where there is no such pair.
    """
    positives = int(true_N.sum())
    pairs = positives * (len(true_N) - positives)
    if not pairs:
        return math.nan
    _, places_N, counts = np.unique(scores_N, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2  # of equal scores
    return float((mean_ranks[places_N][true_N].sum() - positives * (positives + 1) / 2) / pairs)


def precision(hits: Any, false_alarms: Any) -> Any:
    """The share of the answers that are right, numbers or arrays; NaN where nothing was
    answered."""
    return np.where(hits + false_alarms > 0, hits / np.maximum(hits + false_alarms, 1), np.nan)


def recall(hits: Any, misses: Any) -> Any:
    """The share of the true ones that are found, numbers or arrays; NaN where nothing was true."""
    return np.where(hits + misses > 0, hits / np.maximum(hits + misses, 1), np.nan)


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
