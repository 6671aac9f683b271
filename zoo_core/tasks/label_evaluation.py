"""The evaluation of labels: average precision, and the counts at a probability of 0.5.

Shapes: N images, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo_core.tasks import scores
from zoo_core.tasks.bootstrap import Sample
from zoo_core.tasks.chosen import Resampled, Score
from zoo_core.tasks.metrics import (
    Counts,
    FloatArray,
    Metric,
    average_precision,
    f1,
    known_figures,
    precision,
    recall,
)
from zoo_core.tasks.scores import THRESHOLD

MEAN_AVERAGE_PRECISION = Metric(
    "mean_average_precision", "mean average precision", "mAP", unit="%", factor=100, decimals=1, at_most=1.0
)


@dataclass(frozen=True, eq=False)
class LabelEvaluation(Resampled):
    """The figures of each label (K): its average precision, NaN where no image has it, and counts.

    At a probability of 0.5 a label is rightly (`hits`), wrongly (`false_alarms`) or not (`misses`)
    given to so many images.
    """

    average_precisions: FloatArray
    hits: Counts
    false_alarms: Counts
    misses: Counts
    images: int
    loss: float
    probabilities: FloatArray
    true: npt.NDArray[np.bool_]
    """The probabilities and whether the labels were there, (N, K) each."""
    chosen: Score | None = None
    groups_N: Counts | None = None
    own_metric = MEAN_AVERAGE_PRECISION

    @classmethod
    def from_probabilities(
        cls, probabilities_NK: FloatArray, targets_NK: npt.NDArray[Any], loss: float
    ) -> LabelEvaluation:
        true_NK, given_NK = targets_NK > 0.5, probabilities_NK > THRESHOLD
        columns = zip(probabilities_NK.T, true_NK.T, strict=True)
        return cls(
            average_precisions=np.array([average_precision(scores_N, true_N) for scores_N, true_N in columns]),
            hits=(given_NK & true_NK).sum(0),
            false_alarms=(given_NK & ~true_NK).sum(0),
            misses=(~given_NK & true_NK).sum(0),
            images=len(true_NK),
            loss=loss,
            probabilities=probabilities_NK,
            true=true_NK,
        )

    @property
    def own_score(self) -> float:
        """The mean over the labels that some image has; 0 when none has any."""
        known = self.average_precisions[~np.isnan(self.average_precisions)]
        return float(known.mean()) if len(known) else 0.0

    @property
    def sample(self) -> Sample:
        def compute(answers_NK: FloatArray, targets_NK: Any) -> float:
            return scores.mean_average_precision(None, answers=answers_NK, targets=targets_NK)

        return Sample(compute, self.probabilities, self.true, self.groups_N)

    @property
    def precisions(self) -> FloatArray:
        """The share of the images given a label that have it (K); NaN for one that was never
        given."""
        each: FloatArray = precision(self.hits, self.false_alarms)
        return each

    @property
    def recalls(self) -> FloatArray:
        """The share of the images with a label that were given it (K); NaN for one without
        images."""
        each: FloatArray = recall(self.hits, self.misses)
        return each

    @property
    def micro_f1(self) -> float:
        """F1 of all decisions together."""
        return float(f1(self.hits.sum(), self.false_alarms.sum(), self.misses.sum()))

    @property
    def f1(self) -> FloatArray:
        """F1 of each label (K); NaN for one that was neither there nor given."""
        occurs = self.hits + self.false_alarms + self.misses > 0
        return np.where(occurs, f1(self.hits, self.false_alarms, self.misses), np.nan)

    @property
    def macro_f1(self) -> float:
        """The mean F1 over the labels that were there or given; 0 where none was."""
        return scores.mean_f1(self.hits, self.false_alarms, self.misses)

    def figures(self) -> dict[str, Any]:
        return {
            "mean_average_precision": self.own_score,
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "average_precisions": known_figures(self.average_precisions),
            "precisions": known_figures(self.precisions),
            "recalls": known_figures(self.recalls),
            "f1s": known_figures(self.f1),
            "positives": (self.hits + self.misses).tolist(),
        }

    def by_output(self, names: Sequence[str]) -> list[dict[str, Any]]:
        figures = self.figures()
        columns = {
            "label": names,
            "average_precision": figures["average_precisions"],
            "precision": figures["precisions"],
            "recall": figures["recalls"],
            "f1": figures["f1s"],
            "images": figures["positives"],
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
