"""How sure a figure is where images belong to groups, such as those of one patient: they are alike,
and say less than as many of different groups.

Shapes: N images, G groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from zoo_core.tasks.metrics import Counts, Interval, wilson

Z = 1.959964
WIDER_OF_FEW = {1: 12.706205, 2: 4.302653}
"""Student's t of 1 and 2 degrees of freedom, where the series of `students_t` does not hold."""


def group_numbers(names: Sequence[str | None]) -> Counts:
    """A number (N) from 0 for the group of each image; an image without a name is one of its
    own."""
    known: dict[tuple[str, int], int] = {}
    keys = ((name or "", 0 if name else index + 1) for index, name in enumerate(names))
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)


def students_t(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, to three digits (the series of Abramowitz and Stegun,
    Handbook of Mathematical Functions, 1964, 26.7.5)."""
    if freedom in WIDER_OF_FEW:
        return WIDER_OF_FEW[freedom]
    terms = (
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
        (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92160,
    )
    return Z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))


def counting_share(values_N: npt.NDArray[np.float64], groups_N: Counts) -> float:
    """The share of the images that count where the mean of their values is compared with others:
    nearly 1 where groups tell nothing about a value and are many, and 0 with one group.

    It is the effective sample size of Korn and Graubard, Confidence intervals for proportions with
    small expected number of positive counts estimated from survey data, Survey Methodology 24,
    1998: the variance of the mean of independent images by that of the mean of whole groups, and
    the square of the normal quantile by that of Student's t with G - 1 degrees of freedom.
    """
    images, deviations_N = len(values_N), values_N - values_N.mean()
    groups = int(groups_N.max()) + 1
    if groups < 2:
        return 0.0
    alone = np.square(deviations_N).sum() / images**2
    together = groups / (groups - 1) * np.square(np.bincount(groups_N, deviations_N)).sum() / images**2
    few = (Z / students_t(groups - 1)) ** 2
    return float(few * min(1.0, alone / together)) if together else few


def share_interval(right_N: npt.NDArray[np.float64], groups_N: Counts | None) -> Interval:
    """Wilson's 95 % interval of the share of right answers, or of a mean of shares, with the images
    that count."""
    share = 1.0 if groups_N is None else counting_share(right_N, groups_N)
    return wilson(float(right_N.sum()) * share, len(right_N) * share) if share else (0.0, 1.0)


def sign_flips(differences_G: npt.NDArray[np.int64]) -> float:
    """The two-sided p of the exact test that flips the signs of whole groups: McNemar's where each
    group is one image.

    A group's difference is the number of its images that the first model alone answered rightly,
    less that of the second. Were both equally good, each sign would be a toss of a coin; p is the
    share of all tosses whose sum is at least as far from 0. The distribution of the sum follows
    from its characteristic function, the product of the cosines.
    """
    sizes, counts = np.unique(np.abs(differences_G[differences_G != 0]), return_counts=True)
    length = 1 << (2 * int(sizes @ counts) + 1).bit_length()  # more than there are sums
    angles = 2 * math.pi * np.arange(length // 2 + 1) / length
    spectrum = np.ones(len(angles))
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spectrum *= np.cos(size * angles) ** count
    chances = np.fft.irfft(spectrum, length)  # of the sums 0, 1 and so on, those below 0 from the end
    observed = abs(int(differences_G.sum()))
    within = chances[0] + 2 * chances[1:observed].sum() if observed else 0.0
    least = math.ldexp(2.0, -int(counts.sum()))  # the toss that there was, and its mirror image
    return float(min(1.0, max(least, 1 - within)))
