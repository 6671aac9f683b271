"""Each statistic against a computation of its own: every toss, every resample, every table, by hand."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import product
from math import comb, isclose, sqrt

import numpy as np
import pytest

from zoo_core.choosing.statistics import images_to_reach, mcnemar, newcombe, resampled_scores
from zoo_core.tasks.metrics import wilson

Z = 1.959964


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 3), (5, 1), (0, 8), (9, 3)])
def test_mcnemar_is_the_share_of_all_tosses_that_are_at_least_as_uneven(first: int, second: int) -> None:
    tosses = list(product((0, 1), repeat=first + second))
    as_uneven = [one for one in tosses if abs(2 * sum(one) - len(one)) >= abs(first - second)]
    assert mcnemar(first, second) == float(Fraction(len(as_uneven), len(tosses)))


def test_mcnemar_of_many_images_is_finite() -> None:
    assert mcnemar(30_000, 30_000) == 1
    assert mcnemar(0, 60_000) < 1e-300 or mcnemar(0, 60_000) == 0


def limits_by_bisection(correct: int, total: int) -> tuple[float, float]:
    """The Wilson limits as the accuracies whose score test the observed one just passes."""

    def edge(outside: float, inside: float) -> float:
        for _ in range(80):
            middle = (outside + inside) / 2
            passes = abs(correct / total - middle) <= Z * sqrt(middle * (1 - middle) / total)
            outside, inside = (outside, middle) if passes else (middle, inside)
        return inside

    share = correct / total
    return (edge(0.0, share) if correct else 0.0), (edge(1.0, share) if correct < total else 1.0)


@pytest.mark.parametrize(
    "table", [(36, 12, 2, 0), (20, 5, 3, 12), (1, 7, 0, 2), (50, 0, 0, 0), (0, 9, 0, 0), (4, 6, 6, 4)]
)
def test_newcombes_interval_is_that_of_his_paper(table: tuple[int, int, int, int]) -> None:
    """Method 10 step by step, with Wilson's limits found by bisection."""
    e, f, g, h = map(float, table)
    n = e + f + g + h
    (l1, u1), (l2, u2) = limits_by_bisection(int(e + f), int(n)), limits_by_bisection(int(e + g), int(n))
    product_of_margins = (e + f) * (g + h) * (e + g) * (f + h)
    above = e * h - f * g
    above = max(above - n / 2, 0) if above > 0 else above
    phi = above / sqrt(product_of_margins) if product_of_margins else 0.0
    dl1, du1, dl2, du2 = (e + f) / n - l1, u1 - (e + f) / n, (e + g) / n - l2, u2 - (e + g) / n
    low = (f - g) / n - sqrt(max(0.0, dl1**2 - 2 * phi * dl1 * du2 + du2**2))
    high = (f - g) / n + sqrt(max(0.0, du1**2 - 2 * phi * du1 * dl2 + dl2**2))
    assert newcombe(*table) == pytest.approx((low, high), abs=1e-6)


def test_newcombes_interval_holds_the_difference_in_19_of_20_samples() -> None:
    """The exact coverage over every table of 14 images: an interval that is too narrow by a fifth fails."""
    images, chances = 14, (0.55, 0.25, 0.1, 0.1)
    covered = 0.0
    for both, first, second in product(range(images + 1), repeat=3):
        neither = images - both - first - second
        if neither < 0:
            continue
        ways = comb(images, both) * comb(images - both, first) * comb(images - both - first, second)
        chance = ways * chances[0] ** both * chances[1] ** first * chances[2] ** second * chances[3] ** neither
        low, high = newcombe(both, first, second, neither)
        covered += chance * (low <= chances[1] - chances[2] <= high)
    assert 0.94 < covered < 0.99


def test_swapping_the_models_turns_the_interval_round() -> None:
    low, high = newcombe(20, 5, 3, 12)
    assert newcombe(20, 3, 5, 12) == pytest.approx((-high, -low))


def test_resampled_scores_vary_as_an_accuracy_does_and_leave_out_what_nobody_answered() -> None:
    generator = np.random.default_rng(1)
    right = (generator.random((1, 1, 1, 400)) < 0.8).astype(float)
    right[..., 100:200] = np.nan
    known = right[np.isfinite(right)]
    scores = resampled_scores(right)[0, 0]
    assert isclose(scores.mean(), known.mean(), abs_tol=0.005)
    assert isclose(scores.std(), sqrt(known.mean() * (1 - known.mean()) / len(known)), rel_tol=0.1)


def test_resampled_scores_draw_the_repeats_too_and_the_same_for_all_candidates() -> None:
    right = np.zeros((2, 1, 2, 5))
    right[:, :, 1] = 1.0
    scores = resampled_scores(right)
    assert set(np.unique(scores)) == {0.0, 0.5, 1.0}
    assert (scores[0] == scores[1]).all()


SIZES, CURVE = np.array([10.0, 100.0, 1000.0]), np.array([[0.2], [0.6], [0.8]])


@pytest.mark.parametrize(
    ("target", "needed"),
    [(0.4, sqrt(10 * 100)), (0.6, 100), (0.7, sqrt(100 * 1000)), (0.8, 1000), (0.9, np.inf), (0.1, 0)],
)
def test_the_images_for_a_score_are_interpolated_in_their_logarithm(target: float, needed: float) -> None:
    assert images_to_reach(SIZES, CURVE, np.array([target]))[0] == pytest.approx(needed)


def test_a_curve_that_falls_by_chance_counts_from_where_it_first_reached_the_score() -> None:
    falling = np.array([[0.2], [0.6], [0.5]])
    assert images_to_reach(SIZES, falling, np.array([0.6]))[0] == pytest.approx(100)
    assert images_to_reach(SIZES, falling, np.array([0.7]))[0] == np.inf


def test_the_wilson_interval_takes_a_mean_of_repeats() -> None:
    assert wilson(7.5, 10)[0] < 0.75 < wilson(7.5, 10)[1]
    assert wilson(7, 10)[0] < wilson(7.5, 10)[0] < wilson(8, 10)[0]


def test_intervals_of_very_many_images_take_a_moment_because_outcomes_are_few() -> None:
    """Images with equal outcomes are drawn together, and not each of 400,000 for itself."""
    generator, images = np.random.default_rng(2), 400_000
    right = (generator.random((2, 1, 2, images)) < 0.7).astype(float)
    start = time.process_time()
    scores = resampled_scores(right)
    assert time.process_time() - start < 10
    assert scores.mean() == pytest.approx(right.mean(), abs=0.001)
    means = right.mean(axis=3)
    assert set(np.round(np.median(scores, axis=2).ravel(), 2)) == set(np.round(means.mean(axis=2).ravel(), 2))


def test_drawing_outcomes_together_is_drawing_images() -> None:
    """The mean and the spread of a difference, against resamples of single images."""
    generator = np.random.default_rng(3)
    right = (generator.random((2, 1, 1, 200)) < np.array([0.8, 0.6]).reshape(2, 1, 1, 1)).astype(float)
    right[0, ..., :20] = np.nan
    first, second = resampled_scores(right)[:, 0]
    single = right[:, 0, 0][:, generator.integers(200, size=(4000, 200))]
    differences = np.nanmean(single[0], axis=1) - single[1].mean(axis=1)
    assert (first - second).mean() == pytest.approx(differences.mean(), abs=0.005)
    assert (first - second).std() == pytest.approx(differences.std(), rel=0.1)


def test_the_percentile_interval_holds_the_accuracy_in_19_of_20_samples() -> None:
    generator, held = np.random.default_rng(3), 0
    for _ in range(200):
        right_GFRN = (generator.random((1, 1, 1, 80)) < 0.7).astype(np.float64)
        low, high = np.percentile(resampled_scores(right_GFRN), [2.5, 97.5])
        held += low <= 0.7 <= high
    assert 180 <= held <= 200
