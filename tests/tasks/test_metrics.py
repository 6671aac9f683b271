from __future__ import annotations

import math

import numpy as np
import pytest

from zoo_core.tasks.classification import ClassEvaluation
from zoo_core.tasks.label_evaluation import LabelEvaluation
from zoo_core.tasks.metrics import average_precision, r2, wilson
from zoo_core.tasks.regression import NumberEvaluation


def test_accuracy_comes_from_the_confusion_matrix() -> None:
    true, predicted = np.repeat([0, 0, 1, 1], [8, 2, 1, 9]), np.repeat([0, 1, 0, 1], [8, 2, 1, 9])
    evaluation = ClassEvaluation.of(true, predicted, 3, loss=0.5)
    assert evaluation.confusion.tolist() == [[8, 2, 0], [1, 9, 0], [0, 0, 0]]
    assert (evaluation.images, evaluation.correct, evaluation.accuracy) == (20, 17, 0.85)


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    # computed with scipy.stats.binomtest(correct, total).proportion_ci(method="wilson")
    [(85, 100, 0.7671644041, 0.9069401472), (0, 10, 0.0, 0.2775327999), (10, 10, 0.7224672001, 1.0)],
)
def test_the_interval_is_wilsons(correct: int, total: int, low: float, high: float) -> None:
    assert wilson(correct, total) == pytest.approx((low, high), abs=1e-6)


def test_average_precision_is_precision_where_recall_grows() -> None:
    """By hand: of four images ranked 0.9, 0.7, 0.4, 0.1, the first and the third are true."""
    scores, true = np.array([0.4, 0.9, 0.1, 0.7]), np.array([True, True, False, False])
    assert average_precision(scores, true) == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_images_of_one_score_pass_a_threshold_together() -> None:
    """By hand: at 0.5 three images of which two are true, at 0.2 the third one. Their order must not matter."""
    expected = 2 / 3 * 2 / 3 + 3 / 4 * 1 / 3
    scores = np.array([0.5, 0.5, 0.5, 0.2])
    for true in ([1, 1, 0, 1], [0, 1, 1, 1], [1, 0, 1, 1]):
        assert average_precision(scores, np.array(true, dtype=bool)) == pytest.approx(expected)
    assert math.isnan(average_precision(scores, np.zeros(4, dtype=bool)))


def test_labels_are_measured_by_precision_and_f1() -> None:
    """By hand. Label 0: found 1, false 1, missed 1. Label 1: found 2. Label 2: nobody has it and nobody is given it."""
    probabilities = np.array([[0.9, 0.8, 0.1], [0.6, 0.2, 0.2], [0.3, 0.7, 0.5], [0.2, 0.1, 0.0]])
    targets = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 0], [0, 0, 0]], dtype=np.float32)
    evaluation = LabelEvaluation.from_probabilities(probabilities, targets, 0.25)
    assert evaluation.average_precisions[:2].tolist() == pytest.approx([(1 + 2 / 3) / 2, 1.0])
    assert evaluation.score == pytest.approx((5 / 6 + 1) / 2), "a label that nobody has is left out of the mean"
    assert evaluation.f1.tolist() == pytest.approx([0.5, 1.0, math.nan], nan_ok=True)
    assert evaluation.micro_f1 == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    figures = evaluation.figures()
    assert figures["average_precisions"][2] is None
    assert (figures["macro_f1"], figures["positives"]) == (pytest.approx(0.75), [2, 2, 0])
    assert figures["f1s"] == [0.5, 1.0, None]
    row = {"label": "b", "average_precision": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0, "images": 2}
    assert evaluation.by_output(("a", "b", "c"))[1] == row


def test_labels_that_nobody_has_are_worth_nothing() -> None:
    given = LabelEvaluation.from_probabilities(np.full((2, 1), 0.9), np.zeros((2, 1)), 0.0)
    assert (given.score, given.macro_f1, given.f1.tolist()) == (0.0, 0.0, [0.0])
    nothing = LabelEvaluation.from_probabilities(np.full((2, 1), 0.1), np.zeros((2, 1)), 0.0)
    assert (nothing.score, nothing.macro_f1) == (0.0, 0.0)


def test_numbers_are_measured_by_column_and_over_all() -> None:
    """By hand. Column 0: errors 1, -1, 0, 0 around 1, 2, 3, 4. Column 1: always 2 too much, and the truth is constant."""
    true = np.array([[1, 5], [2, 5], [3, 5], [4, 5]], dtype=float)
    predicted = true + np.array([[1, 2], [-1, 2], [0, 2], [0, 2]])
    evaluation = NumberEvaluation(predicted, true, 0.5)
    assert evaluation.rmse.tolist() == pytest.approx([math.sqrt(0.5), 2.0])
    assert evaluation.mae.tolist() == pytest.approx([0.5, 2.0])
    assert evaluation.r2.tolist() == pytest.approx([1 - 2 / 5, 0.0])
    figures = evaluation.figures()
    assert figures["rmse"] == pytest.approx(math.sqrt((2 * 1 + 4 * 4) / 8))
    assert (figures["mae"], evaluation.score) == (pytest.approx(1.25), pytest.approx(0.3))
    tenths = np.full((30, 1), 0.1)
    assert r2(tenths + 1, tenths) == 0, "rounding leaves a variance, by which R2 was -4e33"
    assert evaluation.by_output(("x", "y"))[1] == {"number": "y", "rmse": 2.0, "mae": 2.0, "r2": 0.0}
