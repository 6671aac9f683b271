"""The fit to the validation images when a training has ended, which every later answer uses.

Classes and labels get a temperature, labels a threshold each, classes and numbers the scores from
which sets and intervals follow. Temperature and thresholds are kept only where they help images
that they were not fitted to: each half of the validation images judges the fit to the other.

Shapes: N validation images, K classes, labels or numbers, S scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np

from zoo_core.tasks import scores
from zoo_core.tasks.calibration import (
    BoolArray,
    Targets,
    calibration_error,
    conformal_bound,
    decisions,
    fit_temperature,
    halves,
    nonconformity,
    probabilities,
    reliability,
)
from zoo_core.tasks.chosen import ChosenMetric
from zoo_core.tasks.familiar import Familiar
from zoo_core.tasks.metrics import FloatArray
from zoo_core.tasks.thresholds import ThresholdMetric, macro_f1, moved, threshold_metric, thresholds_by

T = TypeVar("T")
FEWEST_IMAGES = 20  # halves of fewer than ten images judge nothing
MOST_NUMBERS = 2_000_000  # outputs that a temperature is fitted to: more cost seconds and change no digit that counts
MOST_OUTPUTS = 20_000_000  # of all held-out images, to which a fit takes some 50 bytes each, or 1 GB together
MOST_SCORES = 10_000  # the coverage is then within 0.6 points of the asked one, 19 times in 20
COVERAGE = 0.9  # that of the intervals in the card


@dataclass(frozen=True, eq=False)
class Fitted:
    """The temperature by which outputs are divided, the labels' thresholds (K), and the scores (S,
    1) of classes or (S, K) of numbers. A run of an older zoo and a backbone have none of them."""

    temperature: float = 1.0
    thresholds_K: FloatArray | None = None
    scores: FloatArray | None = None
    familiar: Familiar | None = None
    """The distribution of the training images' features, by which strangers are told."""

    def bounds(self, coverage: float) -> list[float] | None:
        """The largest score of each column in an answer of that coverage, None where the scores are
        too few."""
        if self.scores is None:
            return None
        found = [conformal_bound(column, coverage) for column in self.scores.T]
        known = [bound for bound in found if bound is not None]
        return known if len(known) == len(found) else None


UNFITTED = Fitted()
"""Answers as the network gives them."""


def too_many_outputs(images: int, outputs: int) -> str | None:
    """The sentence that nothing is fitted to so many held-out images with so many outputs each;
    None for those that fit into memory."""
    if images * outputs <= MOST_OUTPUTS:
        return None
    return (
        f"Nothing was fitted to the held-out images: {images:,} of them with {outputs:,} outputs each are more than the "
        f"{MOST_OUTPUTS:,} numbers that memory is spent on, so there is no temperature, no threshold and no --coverage."
    )


@dataclass(frozen=True, eq=False)
class Outputs:
    """The outputs (N, K) of a network for the images of a part, in float64, and their targets."""

    part: str
    outputs_NK: FloatArray
    targets: Targets

    def where(self, chosen_N: BoolArray) -> Outputs:
        return Outputs(self.part, self.outputs_NK[chosen_N], self.targets[chosen_N])

    def answers(self, temperature: float = 1.0) -> FloatArray:
        """The probabilities (N, K)."""
        return probabilities(self.outputs_NK / temperature, of_labels=self.targets.ndim > 1)


def fit_probabilities(
    held: Outputs, test: Outputs | None, chosen: ChosenMetric | None = None
) -> tuple[Fitted, dict[str, Any] | None]:
    """Fit classes or labels to `held`, the validation images; the figures for a result are measured
    on `test`, or else across the halves of `held`, and None where those are too small. Thresholds
    of labels are chosen by the metric that somebody chose, if it depends on them."""
    is_enough = len(held.targets) >= FEWEST_IMAGES
    temperature, figures = _temperature(held, test) if is_enough else (1.0, None)
    answers_NK = held.answers(temperature)
    if held.targets.ndim == 1:
        return Fitted(temperature, scores=_some(nonconformity(answers_NK, held.targets))), figures
    if figures is None:
        return UNFITTED, None
    tested_NK = None if test is None else test.answers(temperature)
    thresholds_K, of_thresholds = _thresholds(answers_NK, held, tested_NK, test, chosen)
    return Fitted(temperature, thresholds_K), {**figures, **of_thresholds}


def fit_numbers(held: Outputs, test: Outputs | None) -> tuple[Fitted, dict[str, Any] | None]:
    """The absolute errors on the validation images, and the share of other images whose number lies
    in the interval that follows from them."""
    fitted = Fitted(scores=_some(nonconformity(held.outputs_NK, held.targets)))
    bounds = fitted.bounds(COVERAGE)
    if bounds is None or len(held.targets) < FEWEST_IMAGES:
        return fitted, None
    if test is None:
        within_NK = _across(held, _bounds_of, lambda half, half_bounds: _errors(half) <= half_bounds)
    else:
        within_NK = _errors(test) <= np.array(bounds)
    figures = {"coverage": COVERAGE, "half_widths": bounds, "covered": within_NK.mean(0).tolist()}
    return fitted, {**_place(test), **figures}


def calibration_figures(answers_NK: FloatArray, targets: Targets) -> dict[str, Any]:
    """The mean log loss, the expected calibration error, and the bins that it is the mean of."""
    bins = reliability(*decisions(answers_NK, targets))
    log_loss = scores.log_loss(None, answers=answers_NK, targets=targets)
    return {"log_loss": log_loss, "ece": calibration_error(bins), "bins": [asdict(one) for one in bins]}


def _temperature(held: Outputs, test: Outputs | None) -> tuple[float, dict[str, Any]]:
    """The temperature, 1 where it does not help, and the figures without and with it."""
    before_NK, after_NK = held.answers(), _across(held, _fitted_to, Outputs.answers)
    losses = [scores.log_loss(None, answers=each, targets=held.targets) for each in (before_NK, after_NK)]
    temperature = _fitted_to(held) if losses[1] < losses[0] else 1.0
    measured = held if test is None else test
    if test is not None:
        before_NK, after_NK = test.answers(), test.answers(temperature)
    elif temperature == 1:
        after_NK = before_NK
    before, after = (calibration_figures(each, measured.targets) for each in (before_NK, after_NK))
    return temperature, {
        **_place(test),
        "temperature": temperature,
        **{f"{name}_before": figure for name, figure in before.items()},
        **after,
    }


def _thresholds(
    answers_NK: FloatArray,
    held: Outputs,
    tested_NK: FloatArray | None,
    test: Outputs | None,
    chosen: ChosenMetric | None,
) -> tuple[FloatArray | None, dict[str, Any]]:
    """The labels' thresholds, None where 0.5 is as good, with macro F1 and the score by the metric
    that chose them, at 0.5 and by them."""
    metric, targets = threshold_metric(chosen), held.targets
    before_NK, after_NK = answers_NK, _moved_across(metric, answers_NK, targets)
    helps = metric.gain(after_NK, targets) > metric.gain(before_NK, targets)
    thresholds_K = thresholds_by(metric, answers_NK, targets) if helps else None
    if tested_NK is not None and test is not None:
        before_NK, targets = tested_NK, test.targets
        after_NK = tested_NK if thresholds_K is None else moved(tested_NK, thresholds_K)
    elif thresholds_K is None:
        after_NK = before_NK
    return thresholds_K, {
        "thresholds": None if thresholds_K is None else thresholds_K.tolist(),
        "macro_f1_before": macro_f1(before_NK, targets),
        "macro_f1": macro_f1(after_NK, targets),
        "thresholds_metric": metric.name,
        "thresholds_score_before": metric.compute(before_NK, targets),
        "thresholds_score": metric.compute(after_NK, targets),
    }


def _moved_across(metric: ThresholdMetric, answers_NK: FloatArray, targets_NK: Targets) -> FloatArray:
    """The answers of each half on the scale of the other's thresholds (N, K)."""
    first_N, moved_NK = halves(targets_NK), np.empty_like(answers_NK)
    for own_N in (first_N, ~first_N):
        moved_NK[~own_N] = moved(answers_NK[~own_N], thresholds_by(metric, answers_NK[own_N], targets_NK[own_N]))
    return moved_NK


def _across(held: Outputs, fit: Callable[[Outputs], T], apply: Callable[[Outputs, T], Any]) -> Any:
    """The results (N, K) of each half with the fit to the other, in the order of the images."""
    first_N = halves(held.targets)
    made = [(~own_N, apply(held.where(~own_N), fit(held.where(own_N)))) for own_N in (first_N, ~first_N)]
    whole_NK = np.empty(held.outputs_NK.shape, dtype=made[0][1].dtype)
    for own_N, part in made:
        whole_NK[own_N] = part
    return whole_NK


def _fitted_to(held: Outputs) -> float:
    step = -(-held.outputs_NK.size // MOST_NUMBERS)
    return fit_temperature(held.outputs_NK[::step], held.targets[::step])


def _errors(held: Outputs) -> FloatArray:
    return nonconformity(held.outputs_NK, held.targets)


def _bounds_of(held: Outputs) -> FloatArray:
    found = [conformal_bound(column, COVERAGE) for column in _errors(held).T]
    return np.array([np.inf if bound is None else bound for bound in found])


def _place(test: Outputs | None) -> dict[str, Any]:
    """The images that the figures were measured on; of validation images each half with the other's
    fit."""
    return {"part": "val" if test is None else test.part, "is_crossed": test is None}


def _some(scores_NK: FloatArray) -> FloatArray:
    """So many rows of scores as are kept, taken from all over the part."""
    return scores_NK[:: -(-len(scores_NK) // MOST_SCORES)]
