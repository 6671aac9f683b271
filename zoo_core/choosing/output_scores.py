"""Scores of labels and numbers in resamples of the images, for their intervals and differences.

Shapes: N images, n of them, K labels or numbers, M candidates, R repeats, B resamples.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo_core.choosing.statistics import (
    RESAMPLES,
    FloatArray,
    bias_corrected_interval,
    mean_of_known,
    resampled_by,
)
from zoo_core.runs.answers import OutputAnswers
from zoo_core.tasks.bootstrap import FEWEST as FEWEST_GROUPS
from zoo_core.tasks.grouped import group_numbers
from zoo_core.tasks.task import Task

Trainings = Sequence[Sequence[OutputAnswers]]
"""Of a candidate: those of each repeat, one for each fold."""
MOST_NUMBERS = 10**9  # answers times resamples, for which labels take about half a minute
FEWEST = 200  # resamples: another seed then moves an end of an interval by some 7 % of its width


@dataclass(frozen=True, eq=False)
class _Measured:
    """One training on the images at these places among all."""

    places_n: npt.NDArray[np.int64]
    answers_nK: FloatArray
    targets_nK: FloatArray


class OutputScores:
    """The scores of candidates, in each repeat on the images that all of them answered there.

    As in the table, a repeat's score is the mean over its folds, an image counting once. The
    candidates have the same number of repeats, of which some may have no trainings. `groups` has
    the group of each image, None where each counts for itself.
    """

    def __init__(
        self, task: Task[Any], candidates: Sequence[Trainings], groups: Mapping[str, str] | None = None
    ) -> None:
        shared = [_shared(trainings) for trainings in zip(*candidates, strict=True)]
        images = dict.fromkeys(image for own in shared for image in own)
        places = {image: place for place, image in enumerate(images)}
        self.images, self._task = len(images), task
        names = None if groups is None else [groups.get(image) for image in images]
        self._groups_N = np.arange(len(images)) if names is None else group_numbers(names)
        self.groups = None if names is None else len({*self._groups_N.tolist()})
        self._trainings = [
            [
                [_measured(fold, own, places) for fold in folds if own.keys() & {*fold.images}]
                for folds, own in zip(candidate, shared, strict=True)
            ]
            for candidate in candidates
        ]

    @property
    def has_few_groups(self) -> bool:
        """Whether resamples of so few groups would repeat the same few."""
        return self.groups is not None and self.groups < FEWEST_GROUPS

    def observed(self) -> FloatArray:
        """The mean scores (M) over the repeats."""
        return mean_of_known(self._scores(np.ones((1, self.images))), axis=1)[:, 0]

    def resampled(self) -> FloatArray:
        """The mean scores (M, B) in resamples of the images and of the repeats."""
        return resampled_by(self._scores, self._groups_N, resamples=self._resamples)

    def intervals(self) -> list[tuple[float, float]]:
        """The intervals of the mean scores over the repeats, from resamples of the images alone."""

        def means(weights_BN: FloatArray) -> FloatArray:
            return mean_of_known(self._scores(weights_BN), axis=1)[:, np.newaxis]

        scores_MB = resampled_by(means, self._groups_N, resamples=self._resamples)
        return [bias_corrected_interval(*one) for one in zip(scores_MB, self.observed(), strict=True)]

    @property
    def _resamples(self) -> int:
        numbers = sum(fold.answers_nK.size for own in self._trainings for folds in own for fold in folds)
        return min(RESAMPLES, max(FEWEST, MOST_NUMBERS // numbers))

    def _scores(self, weights_BN: FloatArray) -> FloatArray:
        """The scores (M, R, B) in resamples in which an image stands so many times; NaN where none
        of a repeat's images do."""
        return np.array([[self._of_repeat(folds, weights_BN) for folds in own] for own in self._trainings])

    def _of_repeat(self, folds: Sequence[_Measured], weights_BN: FloatArray) -> FloatArray:
        summed_B, images_B = np.zeros(len(weights_BN)), np.zeros(len(weights_BN))
        for fold in folds:
            weights_Bn = weights_BN[:, fold.places_n]
            count_B = weights_Bn.sum(1)
            summed_B += count_B * self._task.resampled(fold.answers_nK, fold.targets_nK, weights_Bn)
            images_B += count_B
        return np.where(images_B > 0, summed_B / np.maximum(images_B, 1), np.nan)


def _shared(trainings: Sequence[Sequence[OutputAnswers]]) -> dict[str, None]:
    """The images that every candidate answered in a repeat, in order."""
    first, *others = ({image: None for fold in folds for image in fold.images} for folds in trainings)
    return {image: None for image in first if all(image in own for own in others)}


def _measured(answers: OutputAnswers, shared: Collection[str], places: Mapping[str, int]) -> _Measured:
    chosen = [index for index, image in enumerate(answers.images) if image in shared]
    places_n = np.array([places[answers.images[index]] for index in chosen], dtype=np.int64)
    return _Measured(places_n, answers.answers_NK[chosen], answers.targets_NK[chosen])
