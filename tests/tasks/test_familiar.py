"""The distance of strangers, against the covariance written out, and its limit."""

from __future__ import annotations

import numpy as np
import pytest

from zoo_core.tasks.familiar import _principal, fit_familiar


def test_the_distance_is_that_of_mahalanobis_with_the_covariance_written_out() -> None:
    generator = np.random.default_rng(0)
    groups_N = np.arange(200) % 2
    features_NF = (
        generator.normal(0, [3, 2, 1, 0.5, 0.5], (200, 5)) + np.array([[9.0, 0, 0, 0, 0], [0, 9, 0, 0, 0]])[groups_N]
    )
    familiar = fit_familiar(features_NF, groups_N)
    assert familiar is not None
    units_NF = features_NF / np.linalg.norm(features_NF, axis=1, keepdims=True)
    means_GF = np.stack([units_NF[groups_N == group].mean(0) for group in (0, 1)])
    centred_NF = units_NF - means_GF[groups_N]
    inverse_FF = np.linalg.inv(centred_NF.T @ centred_NF / 200)  # four directions and the rest are the whole of five
    expected = [min(np.sqrt((unit - mean) @ inverse_FF @ (unit - mean) / 5) for mean in means_GF) for unit in units_NF]
    assert familiar.distances(features_NF) == pytest.approx(expected)
    assert np.mean(expected) == pytest.approx(1, abs=0.25)


def test_strangers_lie_beyond_the_limit_and_nineteen_of_twenty_others_within() -> None:
    generator = np.random.default_rng(1)

    def images(count: int, centre: float) -> np.ndarray:
        return np.abs(generator.normal(0, 0.3, (count, 200))) + np.where(np.arange(200) < 20, centre, 0.1)

    found = fit_familiar(images(300, 1.0), np.zeros(300, np.int64))
    assert found is not None
    familiar = found.limited_by(images(500, 1.0))
    assert familiar is not None
    assert (familiar.distances(images(1000, 1.0)) <= familiar.limit).mean() == pytest.approx(0.95, abs=0.03)
    assert (familiar.distances(images(100, 0.3)) > familiar.limit).all()
    assert found.limited_by(images(10, 1.0)) is None, "of ten images none says where 95 % end"


def test_features_that_do_not_differ_or_are_too_many_tell_nothing() -> None:
    assert fit_familiar(np.ones((30, 4)), np.zeros(30, np.int64)) is None
    assert fit_familiar(np.random.default_rng(0).random((3, 5000)), np.zeros(3, np.int64)) is None


def test_equal_regular_or_endless_features_cost_no_training() -> None:
    """Seen to fail: copies gave a limit that was no number, one image a class gave nothing, and an
    infinity ended in an error of numpy's."""
    generator = np.random.default_rng(0)
    one = generator.normal(size=(1, 7))
    copies = fit_familiar(np.repeat(one, 30, 0), np.arange(30) % 3)
    assert copies is None or copies.limited_by(np.repeat(one, 30, 0)) is None
    features = generator.normal(3, 1, (100, 12))
    familiar = fit_familiar(features, np.arange(100))
    assert familiar is not None
    assert len(familiar.means_GF) == 1, "a hundred classes with an image each are one group"
    features[3, 4] = np.inf
    assert fit_familiar(features, np.zeros(100, np.int64)) is None


def test_few_training_images_leave_new_ones_at_distances_near_1() -> None:
    """Seen to fail: with as many directions as images every new one was a million away."""
    generator = np.random.default_rng(0)
    features = generator.normal(2, 1, (60, 200))
    familiar = fit_familiar(features[:40], np.arange(40) % 2)
    assert familiar is not None
    assert familiar.distances(features[40:]).max() < 10


@pytest.mark.parametrize(("images", "features"), [(60, 300), (300, 60)], ids=["wide", "tall"])
def test_the_principal_directions_are_those_of_a_singular_value_decomposition(images: int, features: int) -> None:
    generator = np.random.default_rng(2)
    centred_NF = generator.normal(size=(images, features)) * np.exp(-np.arange(features) / 20)
    variances, directions = _principal(centred_NF)
    _, lengths, rows = np.linalg.svd(centred_NF, full_matrices=False)
    assert variances == pytest.approx(lengths**2 / images)
    assert directions.flags.c_contiguous, "as files of tensors have them"
    assert np.abs((directions[:20] * rows[:20]).sum(1)) == pytest.approx(1.0)  # up to the sign


def test_directions_in_which_no_training_image_differs_are_none_of_the_distribution() -> None:
    generator = np.random.default_rng(3)
    features_NF = generator.normal(size=(40, 3)) @ generator.normal(size=(3, 100)) + 5  # of rank 3
    familiar = fit_familiar(features_NF, np.zeros(40, np.int64))
    assert familiar is not None
    assert len(familiar.directions_DF) <= 4  # that of the lengths is one
    assert np.linalg.norm(familiar.directions_DF, axis=1) == pytest.approx(1.0)
    assert np.isfinite(familiar.distances(generator.normal(size=(5, 100)))).all()
