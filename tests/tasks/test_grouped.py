"""Images in groups: how many of them count, and the tests and intervals that go by groups."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from zoo_core.choosing.statistics import mcnemar, newcombe, paired, resampled_scores, standard_error
from zoo_core.tasks.bootstrap import Sample
from zoo_core.tasks.grouped import counting_share, group_numbers, share_interval, sign_flips, students_t
from zoo_core.tasks.metrics import wilson


def copies(values_N: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Each image so many times, and the numbers of the groups that these are."""
    return np.repeat(values_N, count), np.repeat(np.arange(len(values_N)), count)


def test_groups_are_numbered_in_their_order_and_an_image_without_one_is_alone() -> None:
    assert group_numbers(["b", "a", "b", "", None, ""]).tolist() == [0, 1, 0, 2, 3, 4]


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (10, 2.228), (30, 2.042), (1000, 1.962)]
)
def test_students_quantiles_are_those_of_the_table(freedom: int, quantile: float) -> None:
    assert students_t(freedom) == pytest.approx(quantile, abs=0.004)


def test_of_copies_each_group_counts_once_and_of_strangers_every_image() -> None:
    generator = np.random.default_rng(0)
    right_N = (generator.random(400) < 0.7).astype(float)
    few = (1.959964 / students_t(399)) ** 2
    assert counting_share(right_N, np.arange(400)) == pytest.approx(few, rel=0.01)
    assert counting_share(*copies(right_N, 5)) == pytest.approx(few / 5, rel=0.01)
    by_chance = [counting_share(right_N, generator.integers(0, 40, 400)) for _ in range(100)]
    assert 0.75 < np.mean(by_chance) < 1
    assert max(by_chance) <= 1
    assert counting_share(np.ones(20), np.repeat([0, 1], 10)) == pytest.approx((1.959964 / 12.706) ** 2, rel=0.01)


def test_one_group_says_nothing() -> None:
    one = np.zeros(30, np.int64)
    right_N, wrong_N = np.ones(30, np.bool_), np.zeros(30, np.bool_)
    assert share_interval(right_N.astype(float), one) == (0, 1)
    assert paired(right_N, wrong_N, one).interval == (-1, 1)
    assert not paired(right_N, wrong_N, one).differ
    assert standard_error(right_N, wrong_N, one) == np.inf


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Twelve patients of 20 images, each patient easier or harder than the others."""
    generator, groups_N = np.random.default_rng(0), np.repeat(np.arange(12), 20)
    held = {"groups": 0, "images": 0}
    for _ in range(400):
        chance_G = generator.beta(2 * 0.7, 2 * 0.3, 12)
        right_N = (generator.random(240) < chance_G[groups_N]).astype(float)
        intervals = {"groups": share_interval(right_N, groups_N), "images": wilson(right_N.sum(), 240)}
        for name, (low, high) in intervals.items():
            held[name] += low <= 0.7 <= high
    assert held["groups"] > 0.92 * 400
    assert held["images"] < 0.65 * 400


@pytest.mark.parametrize(
    "differences", [[1] * 9 + [-1] * 3, [3, -2, 5, 0, 1], [4], [0, 0], [2, -2], [1, 1, 1, -1, 7, -3]]
)
def test_the_p_of_groups_is_the_share_of_all_flips_that_are_at_least_as_uneven(differences: list[int]) -> None:
    flips = [sum(sign * one for sign, one in zip(signs, differences, strict=True)) for signs in _signs(differences)]
    as_uneven = np.mean([abs(one) >= abs(sum(differences)) for one in flips])
    assert sign_flips(np.array(differences)) == pytest.approx(as_uneven, abs=1e-12)


def _signs(differences: list[int]) -> list[tuple[int, ...]]:
    return list(product((1, -1), repeat=len(differences)))


def test_groups_of_one_image_have_mcnemars_p() -> None:
    assert sign_flips(np.array([1] * 300 + [-1] * 240)) == pytest.approx(mcnemar(300, 240), abs=1e-12)


def test_very_sure_groups_have_the_p_of_their_only_toss() -> None:
    assert sign_flips(np.full(80, 3)) == 2.0**-79 == mcnemar(80, 0)


def test_copies_of_an_image_add_nothing_to_a_comparison() -> None:
    generator = np.random.default_rng(2)
    first_N, second_N = generator.random(300) < 0.8, generator.random(300) < 0.7
    (first, groups_N), (second, _) = copies(first_N, 6), copies(second_N, 6)
    alone, together = paired(first_N, second_N), paired(first, second, groups_N)
    assert together.p == pytest.approx(alone.p, abs=1e-12)
    assert together.groups == 300
    assert alone.groups is None
    assert together.interval == pytest.approx(alone.interval, abs=0.002)
    for_themselves = paired(first, second)
    assert for_themselves.p < alone.p
    assert for_themselves.interval[1] - for_themselves.interval[0] < 0.5 * (alone.interval[1] - alone.interval[0])
    assert standard_error(first, second, groups_N) == pytest.approx(standard_error(first_N, second_N), rel=0.01)
    table = [int(mask.sum()) for mask in (first_N & second_N, first_N & ~second_N, second_N & ~first_N)]
    assert alone.interval == newcombe(*table, 300 - sum(table))


def test_resampled_scores_of_copies_vary_as_those_of_the_images() -> None:
    right_N = (np.random.default_rng(3).random(60) < 0.7).astype(float)
    repeated_N, groups_N = copies(right_N, 8)
    alone = resampled_scores(right_N[None, None, None]).std()
    assert resampled_scores(repeated_N[None, None, None], groups_N).std() == pytest.approx(alone, rel=0.1)
    assert resampled_scores(repeated_N[None, None, None]).std() < alone / 2


def test_a_bootstrap_draws_whole_groups_and_needs_ten_of_them() -> None:
    generator = np.random.default_rng(4)
    answers_N1 = generator.normal(size=(50, 1))

    def spread(answers_NK: np.ndarray, targets: np.ndarray) -> float:
        return float(answers_NK.mean())

    targets = np.zeros((50, 1))
    alone = Sample(spread, answers_N1, targets)
    repeated, groups_N = np.repeat(answers_N1, 9, axis=0), np.repeat(np.arange(50), 9)
    grouped = Sample(spread, repeated, np.zeros((450, 1)), groups_N)
    assert grouped.error() == pytest.approx(alone.error(), rel=0.25)
    (low, high), (other_low, other_high) = (one.interval() or (0, 0) for one in (alone, grouped))
    assert other_high - other_low == pytest.approx(high - low, rel=0.2)
    assert Sample(spread, repeated, np.zeros((450, 1)), groups_N // 6).interval() is None
    drawn = []

    def noted(answers_NK: np.ndarray, targets: np.ndarray) -> float:
        drawn.append(np.unique(answers_NK, return_counts=True)[1] % 9)
        return 0.0

    Sample(noted, repeated, np.zeros((450, 1)), groups_N).interval()
    assert not np.concatenate(drawn).any()
