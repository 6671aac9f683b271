"""The formulas of honest probabilities: temperature, calibration error, thresholds, conformal
answers.

Shapes: N images, K classes, labels or numbers, D decisions: one an image for classes, K for labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo_core.tasks.metrics import FloatArray, f1
from zoo_core.tasks.scores import THRESHOLD, is_true

BoolArray = npt.NDArray[np.bool_]
Targets = npt.NDArray[Any]
BINS = 10  # as in the literature
EXTREME = 100.0  # temperatures lie between its reciprocal and this: beyond, probabilities are 0 and 1, or equal
HALVINGS = 40  # of the logarithm's range of 9.2: the temperature is then exact to 11 digits
FEWEST = 10  # images with a label, and without it: the best threshold for fewer is one of chance


@dataclass(frozen=True)
class Bin:
    """Decisions of similar probabilities: their number, mean probability, and the share that is
    right."""

    count: int
    probability: float
    right: float


def reliability(probabilities_D: FloatArray, right_D: BoolArray) -> list[Bin]:
    """The decisions by their probability, in at most ten bins of equal size.

    Most answers have probabilities near 1: bins of equal width would be almost empty (Nixon et al.
    2019, arXiv 1904.01685).
    """
    order_D = np.argsort(probabilities_D, kind="stable")
    groups = [group for group in np.array_split(order_D, BINS) if len(group)]
    return [Bin(len(one), float(probabilities_D[one].mean()), float(right_D[one].mean())) for one in groups]


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: the mean over decisions of |right - probability| of their bin
    (Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599)."""
    return sum(one.count * abs(one.right - one.probability) for one in bins) / sum(one.count for one in bins)


def decisions(answers_NK: FloatArray, targets: Targets) -> tuple[FloatArray, BoolArray]:
    """The probability of each decision (D), and whether it is right: of classes the answer's, of
    labels each one's."""
    if targets.ndim == 1:
        return answers_NK.max(1), answers_NK.argmax(1) == targets
    return answers_NK.ravel(), is_true(targets, answers_NK.shape[1]).ravel()


def probabilities(outputs_NK: FloatArray, *, of_labels: bool) -> FloatArray:
    """The probabilities in outputs: each label's own, or those of classes, which add up to 1."""
    if of_labels:
        return np.exp(-np.logaddexp(0, -outputs_NK))
    shares_NK = np.exp(outputs_NK - outputs_NK.max(1, keepdims=True))
    return np.asarray(shares_NK / shares_NK.sum(1, keepdims=True))


def fit_temperature(outputs_NK: FloatArray, targets: Targets) -> float:
    """The temperature T with the lowest mean cross-entropy of outputs / T (Guo et al. 2017).

    The targets are softened as if one more image had been answered wrongly: a true class or label
    counts 1 - 1 / (N + 2), as Platt (1999) does for two classes, so that no probability becomes 1
    because all of few images are right. The loss is convex in 1 / T, so the sign of its slope is
    searched by halving; nothing is drawn by chance.
    """
    images, outputs = outputs_NK.shape
    of_labels, wrong = targets.ndim > 1, 1 / (images + 2)
    true_NK = is_true(targets, outputs)
    soft_NK = np.where(true_NK, 1 - wrong, wrong if of_labels else wrong / max(outputs - 1, 1))

    def slope(sharpness: float) -> float:
        difference_NK = probabilities(sharpness * outputs_NK, of_labels=of_labels) - soft_NK
        return float((difference_NK * outputs_NK).mean())

    low, high = -math.log(EXTREME), math.log(EXTREME)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(math.exp(middle)) > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


def best_thresholds(answers_NK: FloatArray, targets_NK: Targets) -> FloatArray:
    """For each label (K) the threshold with the highest F1, halfway between two probabilities.

    Of equally good ones the nearest to 0.5; 0.5 for a label that fewer than ten images have, or
    lack.
    """
    columns = zip(answers_NK.T, is_true(targets_NK, answers_NK.shape[1]).T, strict=True)
    return np.array([_best_threshold(*column) for column in columns])


def _best_threshold(values_N: FloatArray, true_N: BoolArray) -> float:
    positives = int(true_N.sum())
    if min(positives, len(true_N) - positives) < FEWEST:
        return THRESHOLD
    values, places_N = np.unique(values_N, return_inverse=True)
    hits = np.bincount(places_N, true_N, len(values))[::-1].cumsum()[::-1]  # of the values from each one on
    given = np.bincount(places_N, minlength=len(values))[::-1].cumsum()[::-1]
    scores = f1(hits, given - hits, positives - hits)
    cuts = np.append(values[0] / 2, (values[1:] + values[:-1]) / 2)
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    return float(cuts[best[np.abs(cuts[best] - THRESHOLD).argmin()]])


def halves(targets: Targets) -> BoolArray:
    """Which images (N) are in the first of two halves, with the same classes in both."""
    order_N = np.argsort(targets, kind="stable") if targets.ndim == 1 else np.arange(len(targets))
    first_N = np.zeros(len(targets), dtype=np.bool_)
    first_N[order_N[::2]] = True
    return first_N


def nonconformity(answers_NK: FloatArray, targets: Targets) -> FloatArray:
    """How little each image's target fits its answer: 1 - its class's probability, (N, 1), or the
    absolute error of each number, (N, K)."""
    if targets.ndim == 1:
        return 1 - np.take_along_axis(answers_NK, targets[:, None], axis=1)
    return np.abs(answers_NK - targets)


def conformal_bound(scores_N: FloatArray, coverage: float) -> float | None:
    """The bound below which the score of a new image lies with a probability of at least
    `coverage`: the ceil((N + 1) * coverage)-th smallest (split conformal prediction: Papadopoulos
    et al. 2002; for sets of classes Sadinle et al. 2019, arXiv 1609.00451). None where N is too
    small for it.
    """
    rank = math.ceil((len(scores_N) + 1) * coverage - 1e-9)
    return None if rank > len(scores_N) else float(np.partition(scores_N, rank - 1)[rank - 1])
