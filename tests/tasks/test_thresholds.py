"""Thresholds of labels by the metric that counts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from zoo_core import Catalog
from zoo_core.tasks.chosen import ChosenMetric, chosen_metric
from zoo_core.tasks.fitted import Outputs, fit_probabilities
from zoo_core.tasks.honesty import thresholds_sentence
from zoo_core.tasks.label_evaluation import MEAN_AVERAGE_PRECISION
from zoo_core.tasks.thresholds import MACRO_F1, moved, threshold_metric, thresholds_by


def chosen(name: str, catalog: Catalog) -> ChosenMetric | None:
    return chosen_metric(name, "multilabel", MEAN_AVERAGE_PRECISION, catalog)


def labelled(images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and targets of a frequent label that is told well, and of two that are told badly."""
    chance = np.random.default_rng(seed)
    targets_NK = (chance.random((images, 3)) < [0.5, 0.25, 0.2]).astype(np.float32)
    gaps_K = np.array([6.0, 1.2, 0.8])
    return targets_NK * gaps_K - gaps_K / 2 - 2 + chance.normal(0, 1, (images, 3)), targets_NK


def micro_f1(given_NK: np.ndarray, targets_NK: np.ndarray) -> float:
    return float(2 * (given_NK & (targets_NK > 0)).sum() / (given_NK.sum() + targets_NK.sum()))


def test_a_moved_probability_is_above_half_where_it_is_above_its_threshold() -> None:
    chance = np.random.default_rng(0)
    answers_NK, thresholds_K = chance.random((500, 4)).round(2), np.array([0.03, 0.25, 0.5, 0.97])
    moved_NK = moved(answers_NK, thresholds_K)
    assert ((moved_NK > 0.5) == (answers_NK > thresholds_K)).all()
    assert moved(answers_NK, np.full(4, 0.5)) == pytest.approx(answers_NK)
    assert moved_NK.min() >= 0
    assert moved(np.array([[0.0, 1.0]]), np.array([0.0, 1.0])).tolist() == [[0.0, 0.5]]
    for column, same in zip(moved_NK.T, answers_NK.T, strict=True):
        order = np.argsort(same, kind="stable")
        assert (np.diff(column[order]) >= 0).all(), "no label's order of images changes"


def test_thresholds_by_micro_f1_are_the_best_of_all_and_not_those_of_each_label(catalog: Catalog) -> None:
    outputs_NK, targets_NK = labelled(40)
    answers_NK = (1 / (1 + np.exp(-outputs_NK))).round(1)  # few values: every combination of cuts can be tried
    metric = threshold_metric(chosen("micro-f1", catalog))
    found_K = thresholds_by(metric, answers_NK, targets_NK)
    cuts = [np.append(values - 0.05, 1.05) for values in map(np.unique, answers_NK.T)]
    enough = [label for label in range(3) if 10 <= targets_NK[:, label].sum() <= 30]
    tried = itertools.product(*(cuts[label] if label in enough else [0.5] for label in range(3)))
    best = max(micro_f1(answers_NK > np.array(each_K), targets_NK) for each_K in tried)
    assert micro_f1(answers_NK > found_K, targets_NK) == pytest.approx(best)
    of_each_label = thresholds_by(MACRO_F1, answers_NK, targets_NK)
    assert micro_f1(answers_NK > of_each_label, targets_NK) < best


def test_the_metric_that_counts_chooses_where_it_depends_on_thresholds(catalog: Catalog) -> None:
    names = ("micro-f1", "macro-f1", "auroc", "log-loss", "auto")
    found = {name: threshold_metric(chosen(name, catalog)).name for name in names}
    assert found == {**dict.fromkeys(names, "macro-f1"), "micro-f1": "micro-f1"}
    held, test = Outputs("val", *labelled(600)), Outputs("test", *labelled(600, seed=1))
    fitted, figures = fit_probabilities(held, test, chosen("micro-f1", catalog))
    assert figures is not None
    assert fitted.thresholds_K is not None
    assert (figures["thresholds_metric"], figures["part"]) == ("micro-f1", "test")
    given_NK = test.answers(fitted.temperature) > fitted.thresholds_K
    assert figures["thresholds_score"] == pytest.approx(micro_f1(given_NK, test.targets))
    assert figures["thresholds_score"] > figures["thresholds_score_before"]
    usual, by_f1 = fit_probabilities(held, test)
    assert by_f1 is not None
    assert usual.thresholds_K is not None
    assert (by_f1["macro_f1"], by_f1["thresholds_metric"]) == (by_f1["thresholds_score"], "macro-f1")
    assert figures["thresholds_score"] > micro_f1(test.answers(usual.temperature) > usual.thresholds_K, test.targets)
    sentence = thresholds_sentence(figures)
    assert f"micro F1 {figures['thresholds_score']:.3f}, at 0.5 {figures['thresholds_score_before']:.3f}" in sentence
    older = {name: figures[name] for name in figures if not name.startswith("thresholds_")}
    assert f"macro F1 {figures['macro_f1']:.3f}, at 0.5" in thresholds_sentence(older)


def test_so_many_answers_that_a_search_would_take_long_are_left_to_f1(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs_NK, targets_NK = labelled(100)
    answers_NK = 1 / (1 + np.exp(-outputs_NK))
    monkeypatch.setattr("zoo_core.tasks.thresholds.MOST_NUMBERS", 1000)
    metric = threshold_metric(chosen("micro-f1", catalog))
    expected = thresholds_by(MACRO_F1, answers_NK, targets_NK)
    assert (thresholds_by(metric, answers_NK, targets_NK) == expected).all()
