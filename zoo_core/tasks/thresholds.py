"""A threshold for each label: the ones with the highest F1, or the best by the metric that counts.

Shapes: N images, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_core.tasks import scores
from zoo_core.tasks.bootstrap import Compute
from zoo_core.tasks.calibration import FEWEST, Targets, best_thresholds
from zoo_core.tasks.chosen import ChosenMetric
from zoo_core.tasks.metrics import FloatArray
from zoo_core.tasks.scores import THRESHOLD, is_true

ROUNDS = 3  # over all labels: later ones change next to nothing
MOST_TRIED, FEWEST_TRIED = 50, 3  # thresholds of a label in a round
NARROWEST = 1e-12  # of a scale: a threshold may lie at 0, where probabilities are rounded to it
MOST_NUMBERS = 500_000_000  # answers in all trials together, which take some 5 s


@dataclass(frozen=True)
class ThresholdMetric:
    """The metric by which thresholds are chosen."""

    name: str
    compute: Compute
    higher_is_better: bool = True

    def gain(self, answers_NK: FloatArray, targets_NK: Targets) -> float:
        """A number that is higher for better answers."""
        figure = self.compute(answers_NK, targets_NK)
        return figure if self.higher_is_better else -figure


def macro_f1(answers_NK: FloatArray, targets_NK: Targets) -> float:
    return scores.macro_f1(None, answers=answers_NK, targets=targets_NK)


MACRO_F1 = ThresholdMetric("macro-f1", macro_f1)


def threshold_metric(chosen: ChosenMetric | None) -> ThresholdMetric:
    """The metric that somebody chose, if it depends on thresholds, or else macro F1."""
    if chosen is None or not chosen.at_threshold or chosen.shown.name == MACRO_F1.name:
        return MACRO_F1
    return ThresholdMetric(chosen.shown.name, chosen.compute, chosen.shown.higher_is_better)


def moved(answers_NK: FloatArray, thresholds_K: Any) -> FloatArray:
    """Probabilities on a scale on which each label's threshold is at 0.5, so that a metric that
    counts labels above 0.5 counts those above their thresholds."""
    below_NK = answers_NK * THRESHOLD / np.maximum(thresholds_K, NARROWEST)
    above_NK = 1 - (1 - answers_NK) * (1 - THRESHOLD) / np.maximum(1 - thresholds_K, NARROWEST)
    moved_NK: FloatArray = np.where(
        answers_NK > thresholds_K, np.maximum(above_NK, np.nextafter(THRESHOLD, 1)), below_NK
    )
    return moved_NK


def thresholds_by(metric: ThresholdMetric, answers_NK: FloatArray, targets_NK: Targets) -> FloatArray:
    """The thresholds (K) that are good by a metric: those with the highest F1 of each label, or
    0.5, improved label by label in at most three rounds (coordinate ascent, which may end at less
    than the best of all). Of macro F1 the first are the best.

    Labels that fewer than ten images have, or lack, keep 0.5. With so many answers and labels that
    it would take long, the F1 of each label decides alone.
    """
    thresholds_K = best_thresholds(answers_NK, targets_NK)
    images, labels = answers_NK.shape
    count = min(MOST_TRIED, MOST_NUMBERS // (ROUNDS * images * labels**2))
    if metric is MACRO_F1 or count < FEWEST_TRIED:
        return thresholds_K
    positives_K = is_true(targets_NK, labels).sum(0)
    enough = np.flatnonzero(np.minimum(positives_K, images - positives_K) >= FEWEST)
    middle_K = np.full(labels, THRESHOLD)
    start = max((middle_K, thresholds_K), key=lambda each_K: metric.gain(moved(answers_NK, each_K), targets_NK))
    return _ascended(metric, answers_NK, targets_NK, start.copy(), enough, count)


def _ascended(
    metric: ThresholdMetric,
    answers_NK: FloatArray,
    targets_NK: Targets,
    thresholds_K: FloatArray,
    labels: Any,
    count: int,
) -> FloatArray:
    moved_NK = moved(answers_NK, thresholds_K)
    best = metric.gain(moved_NK, targets_NK)
    for _ in range(ROUNDS):
        before = best
        for label in labels:
            column_N = answers_NK[:, label]
            for threshold in _tried(column_N, count):
                kept_N = moved_NK[:, label].copy()
                moved_NK[:, label] = moved(column_N, threshold)
                found = metric.gain(moved_NK, targets_NK)
                if found > best:
                    best, thresholds_K[label] = found, threshold
                else:
                    moved_NK[:, label] = kept_N
        if best == before:
            break
    return thresholds_K


def _tried(column_N: FloatArray, count: int) -> FloatArray:
    """Thresholds halfway between the probabilities of a label, evenly over its images."""
    values = np.unique(column_N)
    cuts = np.append(values[0] / 2, (values[1:] + values[:-1]) / 2)
    tried: FloatArray = cuts[np.unique(np.linspace(0, len(cuts) - 1, count).round().astype(int))]
    return tried
