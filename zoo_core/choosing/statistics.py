"""How sure a comparison is: a test and an interval for two models on the same images, and resampled
scores. Images of one group, such as those of one patient, count together.

Shapes: N images, U units that are drawn, R repeats, F shares of the training images, B resamples, M
answers to an image: of all candidates, shares and repeats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from zoo_core.tasks.grouped import counting_share, sign_flips
from zoo_core.tasks.metrics import Counts, wilson

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
SURE = 0.05  # the p below which two candidates differ: the usual one
RESAMPLES = 2000  # another seed then moves an end of an interval by some 2 % of its width
AT_ONCE = 4_000_000  # numbers of a block of resamples: 32 MB


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two sets of answers on the same images: the difference of their scores with its 95 %
    interval, and p."""

    images: int
    groups: int | None = None
    """The number of their groups, None where each image counts for itself."""
    difference: float
    interval: tuple[float, float]
    p: float

    @property
    def differ(self) -> bool:
        return self.p < SURE and not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True, kw_only=True)
class Paired(Compared):
    """Two sets of classes: the images that one side alone got right, too."""

    first_only: int
    second_only: int


def paired(first_N: BoolArray, second_N: BoolArray, groups_N: Counts | None = None) -> Paired:
    """Compare two sets of answers on the same images, by Newcombe's interval and McNemar's p; of
    images in groups by the interval of the images that count, and by flips of whole groups."""
    masks = first_N & second_N, first_N & ~second_N, second_N & ~first_N, ~first_N & ~second_N
    table = tuple(int(mask.sum()) for mask in masks)
    _, first_only, second_only, _ = table
    difference_N = first_N.astype(np.int64) - second_N
    return Paired(
        images=len(first_N),
        groups=None if groups_N is None else int(groups_N.max()) + 1,
        difference=(first_only - second_only) / len(first_N),
        interval=newcombe(*table) if groups_N is None else _grouped_newcombe(table, difference_N, groups_N),
        first_only=first_only,
        second_only=second_only,
        p=p_of_signs(difference_N, groups_N),
    )


def standard_error(first_N: BoolArray, second_N: BoolArray, groups_N: Counts | None = None) -> float:
    """The standard error of the difference d of two accuracies on the same N images: sqrt((b + c) /
    N - d^2) / sqrt(N) with the b + c images that one side alone got right, and with the images that
    count of those in groups; infinite with one group."""
    difference_N = first_N.astype(np.float64) - second_N
    images = len(first_N) * (1.0 if groups_N is None else counting_share(difference_N, groups_N))
    return float(difference_N.std()) / math.sqrt(images) if images else math.inf


def p_of_signs(sign_N: npt.NDArray[np.int64], groups_N: Counts | None = None) -> float:
    """The p of McNemar's exact test, from 1 for an image that the first model alone got right, -1
    for one that the second did, 0 for others; with groups that of `sign_flips`."""
    if groups_N is None:
        return mcnemar(int((sign_N > 0).sum()), int((sign_N < 0).sum()))
    return sign_flips(np.bincount(groups_N, sign_N).astype(np.int64))


def _grouped_newcombe(
    table: tuple[int, ...], difference_N: npt.NDArray[np.int64], groups_N: Counts
) -> tuple[float, float]:
    share = counting_share(difference_N.astype(np.float64), groups_N)
    return newcombe(*(share * count for count in table)) if share else (-1.0, 1.0)


def mcnemar(first_only: int, second_only: int) -> float:
    """The two-sided p of McNemar's exact test (McNemar, 1947; exact: the sign test on discordant
    pairs).

    `first_only` images were answered rightly by the first model alone, `second_only` by the second
    alone. Were both equally good, each of these n images would be a toss of a coin: p = 2 P(X <=
    min) with X ~ Binomial(n, 1/2), at most 1.
    """
    tosses = first_only + second_only
    ways = tail = 1  # of no head, and of at most so many
    for heads in range(1, min(first_only, second_only) + 1):
        ways = ways * (tosses - heads + 1) // heads
        tail += ways
    return min(1.0, 2 * tail / (1 << tosses))


def newcombe(both: float, first_only: float, second_only: float, neither: float) -> tuple[float, float]:
    """The 95 % interval of the difference of two accuracies on the same images.

    Newcombe, "Improved confidence intervals for the difference between binomial proportions based
    on paired data", Statistics in Medicine 17, 1998, method 10: with the Wilson limits l, u of each
    accuracy p, and the correlation phi of the table (with a continuity correction where it is
    positive), the lower end lies sqrt((p1 - l1)^2 - 2 phi (p1 - l1)(u2 - p2) + (u2 - p2)^2) below
    p1 - p2, the upper end with the other limits above it.
    """
    images = both + first_only + second_only + neither
    first, second = both + first_only, both + second_only
    p1, p2 = first / images, second / images
    (l1, u1), (l2, u2) = wilson(first, images), wilson(second, images)
    cross = both * neither - first_only * second_only
    corrected = max(cross - images / 2, 0.0) if cross > 0 else float(cross)
    spread = math.sqrt(first * (images - first) * second * (images - second))
    phi = corrected / spread if spread else 0.0

    def distance(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))

    return p1 - p2 - distance(p1 - l1, u2 - p2), p1 - p2 + distance(u1 - p1, p2 - l2)


def resampled_scores(right_CFRN: FloatArray, groups_N: Counts | None = None, seed: int = 0) -> FloatArray:
    """Mean scores (C, F, B) of C candidates with F shares in B resamples of the images and of the
    repeats: the bootstrap (Efron, "Bootstrap methods: another look at the jackknife", Annals of
    Statistics 7, 1979). Their 2.5 and 97.5 percentiles are the percentile interval (DiCiccio and
    Efron, "Bootstrap confidence intervals", Statistical Science 11, 1996).

    `right_CFRN` is 1 for a right answer, 0 for a wrong one, NaN for none. A resample draws N images
    and R repeats with replacement, and is the same for all candidates and shares, because they
    answered the same images. Images with the same outcomes everywhere are drawn together, because
    only their number in a resample matters: 400,000 images then cost no more than a thousand. With
    groups whole groups are drawn.
    """
    candidates, shares, repeats, images = right_CFRN.shape
    right_MN = right_CFRN.reshape(-1, images)
    known_UM, right_UM, counts_U = _outcomes(right_MN) if groups_N is None else _of_groups(right_MN, groups_N)
    generator, blocks = np.random.default_rng(seed), []
    for weights_BU in _weights(counts_U, generator):
        answered = weights_BU @ known_UM
        scores = (weights_BU @ right_UM) / np.where(answered > 0, answered, np.nan)
        scores_MRB = scores.T.reshape(candidates * shares, repeats, -1)
        blocks.append(_mean_of_drawn(scores_MRB, generator))
    return np.concatenate(blocks, axis=1).reshape(candidates, shares, -1)


def resampled_by(
    scores: Callable[[FloatArray], FloatArray], groups_N: Counts, *, resamples: int = RESAMPLES, seed: int = 0
) -> FloatArray:
    """The same for scores that are no mean over images, such as R2: `scores` gives those of M
    candidates (M, R, b) in b resamples, in which image n stands `weights_bN[b, n]` times; NaN where
    a repeat is missing. `groups_N` numbers the groups, of one image each where all count for
    themselves. Returns (M, B)."""
    generator = np.random.default_rng(seed)
    counts_G = np.ones(int(groups_N.max()) + 1, dtype=np.int64)
    weights = _weights(counts_G, generator, resamples, wide=len(groups_N))
    return np.concatenate(
        [_mean_of_drawn(scores(weights_BG[:, groups_N]), generator) for weights_BG in weights], axis=1
    )


def mean_of_known(scores: FloatArray, axis: int) -> FloatArray:
    """The mean along an axis over the scores that are not NaN; NaN where all are."""
    known = np.isfinite(scores).sum(axis=axis)
    means: FloatArray = np.nan_to_num(scores).sum(axis=axis) / np.where(known > 0, known, np.nan)
    return means


def bootstrap_p(differences_B: FloatArray) -> float:
    """The two-sided p of a difference of 0, from the differences in resamples: twice the share of
    them on the other side of 0, counting the observed one among them (Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, chapter 15). Resamples without a difference do not
    count."""
    differences_B = differences_B[np.isfinite(differences_B)]
    beyond = min(int((differences_B <= 0).sum()), int((differences_B >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(differences_B) + 1))


def percentile_interval(scores_B: FloatArray) -> tuple[float, float]:
    """The 95 % interval from resamples."""
    low, high = np.nanpercentile(scores_B, [2.5, 97.5])
    return float(low), float(high)


def bias_corrected_interval(scores_B: FloatArray, observed: float) -> tuple[float, float]:
    """The 95 % interval of a score from its resamples, by the bias-corrected percentile method
    (Efron, Nonparametric standard errors and confidence intervals, Canadian Journal of Statistics
    9, 1981): it moves the percentiles by twice the distance, in standard deviations, of the
    observed score from the median of the resamples.

    R2 and average precision of few images are higher or lower than those of many.
    """
    normal = NormalDist()
    below = (scores_B < observed).mean() / 2 + (scores_B <= observed).mean() / 2
    shift = normal.inv_cdf(min(max(float(below), 1 / len(scores_B)), 1 - 1 / len(scores_B)))
    ends = [100 * normal.cdf(2 * shift + z) for z in (-1.959964, 1.959964)]
    low, high = np.nanpercentile(scores_B, ends)
    return float(low), float(high)


def images_to_reach(sizes_F: FloatArray, scores_FB: FloatArray, targets_B: FloatArray) -> FloatArray:
    """The number of training images (B) at which a learning curve first reaches a score.

    The curve is the running maximum of the scores at F >= 1 rising sizes, interpolated linearly in
    the logarithm of the size. 0 where the smallest size reaches it already, and infinity where the
    largest does not.
    """
    curves, needed = np.maximum.accumulate(scores_FB, axis=0), np.full(len(targets_B), np.inf)
    for step in range(len(sizes_F) - 1, 0, -1):
        low, high = curves[step - 1], curves[step]
        within = (low < targets_B) & (targets_B <= high)
        rise = np.where(within, high - low, 1.0)
        place = np.log(sizes_F[step - 1]) + (targets_B - low) / rise * np.log(sizes_F[step] / sizes_F[step - 1])
        needed = np.where(within, np.exp(place), needed)
    return np.where(targets_B <= curves[0], 0.0, needed)


def _outcomes(right_MN: FloatArray) -> tuple[FloatArray, FloatArray, Counts]:
    """The different columns: whether an answer is known, whether it is right (U, M), and the number
    of images with each (U)."""
    codes_NM = np.ascontiguousarray(np.nan_to_num(right_MN, nan=2.0).astype(np.uint8).T)
    rows_N = codes_NM.view(np.dtype((np.void, codes_NM.shape[1]))).ravel()
    _, first_U, counts_U = np.unique(rows_N, return_index=True, return_counts=True)
    outcomes_UM = right_MN.T[first_U]
    return np.isfinite(outcomes_UM).astype(np.float64), np.nan_to_num(outcomes_UM), counts_U


def _of_groups(right_MN: FloatArray, groups_N: Counts) -> tuple[FloatArray, FloatArray, Counts]:
    """The known and the right answers in each group (U, M), each group once (U)."""
    groups = int(groups_N.max()) + 1
    sums = [np.zeros((groups, len(right_MN))) for _ in range(2)]
    for summed_UM, of_images_MN in zip(sums, (np.isfinite(right_MN), np.nan_to_num(right_MN)), strict=True):
        np.add.at(summed_UM, groups_N, of_images_MN.T)
    return sums[0], sums[1], np.ones(groups, dtype=np.int64)


def _mean_of_drawn(scores_MRB: FloatArray, generator: np.random.Generator) -> FloatArray:
    """The mean (M, B) over as many repeats as there are, drawn with replacement."""
    repeats, resamples = scores_MRB.shape[1:]
    chosen = generator.integers(repeats, size=(resamples, 1, repeats))
    by_resample = scores_MRB.transpose(2, 0, 1)
    drawn = np.take_along_axis(by_resample, np.broadcast_to(chosen, by_resample.shape), axis=2)
    return mean_of_known(drawn, axis=2).T


def _weights(
    counts_U: Counts, generator: np.random.Generator, resamples: int = RESAMPLES, *, wide: int = 0
) -> Iterator[FloatArray]:
    """How often each unit is in each of the resamples, (block, U) at a time: as many as may become rows
    of `wide` numbers."""
    left, drawn = resamples, counts_U.sum()
    while left:
        block = min(left, max(1, AT_ONCE // max(wide, len(counts_U))))
        yield generator.multinomial(drawn, counts_U / drawn, size=block).astype(np.float64)
        left -= block
