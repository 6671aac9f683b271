"""The evaluation of a classifier: its confusion matrix by the cells that are not 0.

Shapes: N images, K classes, M cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zoo_core.tasks.chosen import Headline, Score
from zoo_core.tasks.grouped import share_interval
from zoo_core.tasks.metrics import ACCURACY, Counts, FloatArray, Interval, f1, known_figures, precision, recall, wilson

MAX_MATRIX = 1000
"""The classes up to which the whole matrix is written and drawn: 3 MB of JSON, of the 8 MiB that
zoo reads."""
MAX_CONFUSIONS = 1000  # pairs of classes that are named where the matrix is not written


@dataclass(frozen=True, eq=False)
class ClassEvaluation(Headline):
    """`counts[m]` images of class `true[m]` were predicted as `predicted[m]` (M); a pair of classes
    stands once."""

    true: Counts
    predicted: Counts
    counts: Counts
    num_classes: int
    loss: float
    answers: Counts | None = None
    truth: Counts | None = None
    """The predicted class of each image (N) and its own, in their order; None where only counts are
    known."""
    chosen: Score | None = None
    groups_N: Counts | None = None
    own_metric = ACCURACY

    @classmethod
    def of(
        cls, true: Counts, predicted: Counts, num_classes: int, *, loss: float, counts: Counts | None = None
    ) -> ClassEvaluation:
        """From the class and the prediction of each image (N), or of each of `counts` images."""
        cells, places = np.unique(true * num_classes + predicted, return_inverse=True)
        summed = np.zeros(len(cells), dtype=np.int64)
        np.add.at(summed, places, 1 if counts is None else counts)
        whole = cls(cells // num_classes, cells % num_classes, summed, num_classes, loss)
        return replace(whole, answers=predicted, truth=true) if counts is None else whole

    @classmethod
    def joined(cls, parts: Sequence[ClassEvaluation]) -> ClassEvaluation:
        """The evaluation of all images from those of parts of them."""
        true, predicted, counts = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("true", "predicted", "counts")
        )
        loss = float(np.average([part.loss for part in parts], weights=[part.images for part in parts]))
        whole = cls.of(true, predicted, parts[0].num_classes, loss=loss, counts=counts)
        pairs = [(part.answers, part.truth) for part in parts if part.answers is not None and part.truth is not None]
        if len(pairs) < len(parts):
            return whole
        answers, truths = (np.concatenate(of_parts) for of_parts in zip(*pairs, strict=True))
        return replace(whole, answers=answers, truth=truths)

    @property
    def own_score(self) -> float:
        return self.accuracy

    @property
    def own_interval(self) -> Interval:
        return self.interval

    @property
    def own_error(self) -> float:
        return self.own_metric.standard_error(self.accuracy, self.images)

    @property
    def images(self) -> int:
        return int(self.counts.sum())

    @property
    def correct(self) -> int:
        return int(self.found.sum())

    @property
    def accuracy(self) -> float:
        return self.correct / self.images

    @property
    def interval(self) -> Interval:
        """The 95 % confidence interval of the accuracy."""
        if self.answers is None:
            return wilson(self.correct, self.images)
        return share_interval((self.answers == self.truth).astype(np.float64), self.groups_N)

    @property
    def found(self) -> Counts:
        """The images of each class that were predicted rightly (K)."""
        return self._by_class(self.true == self.predicted)

    @property
    def positives(self) -> Counts:
        """The images of each class (K)."""
        return self._by_class(np.ones(len(self.true), dtype=bool))

    @property
    def answered(self) -> Counts:
        """The images that each class was answered for (K)."""
        return np.bincount(self.predicted, self.counts, minlength=self.num_classes).astype(np.int64)

    @property
    def precisions(self) -> FloatArray:
        """The share of each class's answers that are right (K); NaN for one that was never
        answered."""
        each: FloatArray = precision(self.found, self.answered - self.found)
        return each

    @property
    def recalls(self) -> FloatArray:
        """The share of each class's images that were found (K); NaN for one without images."""
        each: FloatArray = recall(self.found, self.positives - self.found)
        return each

    @property
    def f1s(self) -> FloatArray:
        """F1 of each class (K); NaN for one that neither occurs nor was answered."""
        occurs = self.positives + self.answered > 0
        return np.where(occurs, f1(self.found, self.answered - self.found, self.positives - self.found), np.nan)

    @property
    def confusion(self) -> Counts:
        """The matrix (K, K), a row a true class. Only for few classes: it takes 8 bytes a cell."""
        return self.blocks(self.num_classes)

    def blocks(self, most: int) -> Counts:
        """The matrix with neighbouring classes summed, so that it has at most so many rows and
        columns."""
        width = -(-self.num_classes // most)
        side = -(-self.num_classes // width)
        matrix = np.zeros((side, side), dtype=np.int64)
        np.add.at(matrix, (self.true // width, self.predicted // width), self.counts)
        return matrix

    def figures(self) -> dict[str, Any]:
        return {
            "correct": self.correct,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "balanced_accuracy": float(np.nanmean(self.recalls)),
            "macro_f1": float(np.nanmean(self.f1s)),
            "precisions": known_figures(self.precisions),
            "recalls": known_figures(self.recalls),
            "f1s": known_figures(self.f1s),
            **({"confusion": self.confusion.tolist()} if self.num_classes <= MAX_MATRIX else self._of_many()),
        }

    def by_output(self, names: Sequence[str]) -> list[dict[str, Any]]:
        columns = {
            "class": names,
            "found": self.found.tolist(),
            "images": self.positives.tolist(),
            "precision": known_figures(self.precisions),
            "recall": known_figures(self.recalls),
            "f1": known_figures(self.f1s),
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def confused_pairs(self, most: int) -> list[tuple[int, int, int, int]]:
        """Class, answer, images answered so, and images of the class: the most frequent first."""
        wrong = np.flatnonzero(self.true != self.predicted)
        largest = wrong[np.argsort(-self.counts[wrong], kind="stable")][:most]
        of = self.positives[self.true[largest]]
        columns = (self.true[largest], self.predicted[largest], self.counts[largest], of)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def _of_many(self) -> dict[str, Any]:
        """In place of the matrix: its diagonal, the sums of its rows, and its largest other cells."""
        return {
            "confusion": None,
            "found": self.found.tolist(),
            "positives": self.positives.tolist(),
            "confusions": [list(pair[:3]) for pair in self.confused_pairs(MAX_CONFUSIONS)],
        }

    def _by_class(self, chosen: Any) -> Counts:
        """The images of the chosen cells by their true class (K)."""
        summed = np.zeros(self.num_classes, dtype=np.int64)
        np.add.at(summed, self.true[chosen], self.counts[chosen])
        return summed
