"""Suspected labels: planted ones are found, hard classes do not fill the list, and copies do not vouch for each other."""

from __future__ import annotations

import numpy as np
import pytest

from zoo_core.checking.duplicates import nearest
from zoo_core.checking.labels import (
    ODDS,
    SURPRISING,
    USUAL_SHARE,
    averaged,
    grouped_folds,
    label_suspects,
    out_of_fold,
)


def clusters(distance: float, *, images: int = 180, classes: int = 3, width: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, F) around a centre for each class, and the classes."""
    generator = np.random.default_rng(0)
    labels = np.arange(images) % classes
    centres = generator.normal(0, 1, (classes, width))
    centres *= distance / np.linalg.norm(centres, axis=1, keepdims=True)
    return (centres[labels] + generator.normal(0, 1, (images, width))).astype(np.float32), labels


def suspects(features: np.ndarray, labels: np.ndarray) -> list[int]:
    groups = np.arange(len(labels))
    probabilities = out_of_fold(features, labels, groups, int(labels.max()) + 1)
    return [one.index for one in label_suspects(probabilities, labels, nearest(features).indices_NM, groups)[0]]


def test_planted_labels_are_found_and_named_with_their_class() -> None:
    features, labels = clusters(6.0)
    given = labels.copy()
    planted = [3, 40, 77, 110, 161]
    given[planted] = (labels[planted] + 1) % 3
    probabilities = out_of_fold(features, given, np.arange(len(given)), 3)
    found, _ = label_suspects(probabilities, given, nearest(features).indices_NM, np.arange(len(given)))
    assert len({one.index for one in found} & set(planted)) >= 4
    assert len({one.index for one in found} - set(planted)) <= 1
    assert all(one.looks_like == labels[one.index] for one in found if one.index in planted)
    assert [one.confidence for one in found] == sorted(one.confidence for one in found)
    assert all(ODDS * one.confidence <= one.other for one in found)


def test_clean_labels_of_classes_that_are_hard_to_tell_apart_are_rarely_doubted() -> None:
    features, labels = clusters(1.0)
    assert len(suspects(features, labels)) <= 0.05 * len(labels)


def test_probabilities_are_those_of_images_that_the_classifier_did_not_see() -> None:
    features, labels = clusters(6.0)
    probabilities = out_of_fold(features, labels, np.arange(len(labels)), 3)
    assert np.allclose(probabilities.sum(1), 1)
    shuffled = np.random.default_rng(1).permutation(labels)
    seen = out_of_fold(features, shuffled, np.arange(len(labels)), 3)
    assert seen[np.arange(len(labels)), shuffled].mean() == pytest.approx(1 / 3, abs=0.06)


def test_a_copy_with_the_same_wrong_label_does_not_vouch_for_it() -> None:
    features, labels = clusters(6.0)
    given = labels.copy()
    copies = [0, 30, 60, 90]
    features[copies] = features[0]
    given[copies] = (labels[0] + 1) % 3
    alone, groups = np.arange(len(given)), np.arange(len(given))
    groups[copies] = 0
    apart, together = (out_of_fold(features, given, own, 3) for own in (alone, groups))
    assert together[0, given[0]] < apart[0, given[0]]
    assert len(set(grouped_folds(given, groups, 3)[copies])) == 1
    found, _ = label_suspects(together, given, nearest(features).indices_NM, groups)
    assert {one.index for one in found} >= set(copies), "seen to fail: each was a neighbour that agrees with the others"


def test_the_folds_share_the_images_of_every_class() -> None:
    labels = np.repeat([0, 1, 2], [50, 25, 5])
    folds = grouped_folds(labels, np.arange(len(labels)), 3)
    for label, images in enumerate((10, 5, 1)):
        assert np.bincount(folds[labels == label], minlength=5).tolist() == [images] * 5


def answers(*rows: tuple[int, tuple[int, ...]], sure: float, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, K) and labels: for each label, the classes of which a classifier is sure, image by image."""
    labels = np.array([label for label, likes in rows for _ in likes])
    likes = np.array([like for _, own in rows for like in own])
    probabilities = np.full((len(labels), classes), (1 - sure) / (classes - 1))
    probabilities[np.arange(len(labels)), likes] = sure
    return probabilities, labels


def far(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours (N, 1) that no image agrees with, and groups of one image each."""
    return np.array([[np.flatnonzero(labels != label)[0]] for label in labels]), np.arange(len(labels))


def test_what_is_usual_for_a_class_is_no_doubt_about_a_label() -> None:
    """Seen to fail: of fruit that looked like vegetables, as much other fruit did, each was named."""
    fruit = (0,) * 29 + (1,) * 14 + (2,)
    probabilities, labels = answers((0, fruit), (1, (1,) * 44), (2, (2,) * 44), sure=0.89)
    (found,), further = label_suspects(probabilities, labels, *far(labels))
    assert (found.index, found.looks_like, further) == (43, 2, 0)
    others = [probabilities[index, 2] for index in range(44) if index != 43]
    assert found.surprise == pytest.approx(0.89 / 0.055 / (0.02 + sum(others) / 43))
    assert found.surprise >= SURPRISING


def test_as_many_labels_are_named_as_go_beyond_what_is_usual() -> None:
    """Seen to fail: where classes overlap, most of what was named was rightly labelled."""
    classes, share = 15, np.ceil(USUAL_SHARE * 300)
    for wrong, named in ((1, 12), (4, 48)):
        rows = [
            (label, (*(label,) * (20 - wrong), *((label + 1 + i) % classes for i in range(wrong))))
            for label in range(classes)
        ]
        probabilities, labels = answers(*rows, classes=classes, sure=0.95)
        probabilities[19] = 0.5 * probabilities[19] + 0.5 / classes  # a doubt that is less surprising
        found, further = label_suspects(probabilities, labels, *far(labels))
        assert (len(found), len(found) + further) == (named, classes * wrong)
        assert named == max(share, classes * wrong - share)
        assert 19 not in {one.index for one in found}, "the least surprising one"


def test_neighbours_with_the_label_lessen_the_surprise_and_do_not_forbid_it() -> None:
    """Seen to fail: a wrong label of which two neighbours had the class was never named, however sure the classifier
    was of another one."""
    probabilities, labels = answers((0, (*(0,) * 20, 1)), (1, (1,) * 20), (2, (2,) * 20), sure=0.999)
    neighbours, groups = np.repeat(np.arange(len(labels))[::-1, None], 4, axis=1), np.arange(len(labels))
    surprises = []
    for own in range(4):
        neighbours[20] = [*range(own), *(30,) * (4 - own)]
        (found,), _ = label_suspects(probabilities, labels, neighbours, groups)
        assert (found.index, found.looks_like) == (20, 1)
        surprises.append(found.surprise)
    assert surprises == pytest.approx([surprises[0] / (1 + own) for own in range(4)])


def test_several_classifiers_have_the_geometric_mean_of_their_odds() -> None:
    first, second = np.array([[0.8, 0.2], [0.5, 0.5]]), np.array([[0.2, 0.8], [0.9, 0.1]])
    assert averaged([first]) == pytest.approx(first)
    together = averaged([first, second])
    assert together.sum(1) == pytest.approx(1)
    assert together[0] == pytest.approx([0.5, 0.5])
    assert together[1, 0] / together[1, 1] == pytest.approx(3)
