"""Whether probabilities are honest: of the images that are answered with 0.8, eight in ten should
be right.

Shapes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Images with similar probabilities: how many, their mean probability, and the share that is
    right."""

    images: int
    probability: float
    right: float


def reliability(probabilities_NK: npt.NDArray[np.float64], targets_N: npt.NDArray[np.int64]) -> list[Bin]:
    """The images by the probability of their answer, in at most ten bins with equally many images.

    Most answers have probabilities near 1, and bins of equal width would be empty but for one
    (Nixon et al. 2019, arXiv 1904.01685).
    """
    probability_N, right_N = probabilities_NK.max(1), probabilities_NK.argmax(1) == targets_N
    order = np.argsort(probability_N, kind="stable")
    groups = [group for group in np.array_split(order, BINS) if len(group)]
    return [Bin(len(group), float(probability_N[group].mean()), float(right_N[group].mean())) for group in groups]


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: the sum over bins b of n_b / N * |right_b - probability_b|
    (Guo et al. 2017, arXiv 1706.04599)."""
    images = sum(one.images for one in bins)
    return sum(one.images / images * abs(one.right - one.probability) for one in bins)
