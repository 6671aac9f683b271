from __future__ import annotations

import math

import numpy as np
import pytest

from zoo_core.training.metrics import ClassEvaluation, wilson


def test_accuracy_and_recalls_come_from_the_confusion_matrix() -> None:
    evaluation = ClassEvaluation(np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]]), 0.5)
    assert (evaluation.images, evaluation.correct, evaluation.accuracy) == (20, 17, 0.85)
    assert evaluation.recalls()[:2] == [0.8, 0.9]
    assert math.isnan(evaluation.recalls()[2])


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    # computed with scipy.stats.binomtest(correct, total).proportion_ci(method="wilson")
    [(85, 100, 0.7671644041, 0.9069401472), (0, 10, 0.0, 0.2775327999), (10, 10, 0.7224672001, 1.0)],
)
def test_the_interval_is_wilsons(correct: int, total: int, low: float, high: float) -> None:
    assert wilson(correct, total) == pytest.approx((low, high), abs=1e-6)
