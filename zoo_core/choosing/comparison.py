"""The answers of a comparison: how the best differs from the next, and how many photos pretraining
is worth.

Shapes: N images, R repeats, F shares of the training images, B resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_core.choosing.cells import Failure
from zoo_core.choosing.grid import Candidate
from zoo_core.choosing.results import Results, Row, doubts
from zoo_core.choosing.statistics import (
    Compared,
    FloatArray,
    Paired,
    bootstrap_p,
    images_to_reach,
    p_of_signs,
    paired,
    percentile_interval,
    resampled_scores,
)
from zoo_core.tasks.metrics import Counts


@dataclass(frozen=True, kw_only=True)
class Difference(Compared):
    """The best candidate against the next on the same images.

    With one seed `interval` is Newcombe's and `p` McNemar's. With several an image counts for the
    candidate that was right more often, and the interval is a bootstrap over images and seeds. Of
    labels and numbers both are a bootstrap. Images in groups count by groups in all of them.
    """

    first: Candidate
    second: Candidate
    first_only: int | None = None
    second_only: int | None = None
    """The images that one of the two alone got right, and None of labels and numbers."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """A score of a pretrained candidate, and the training images with which one from scratch
    reaches it.

    `needed` is None where it lies beyond the images that were measured. Of the interval an end is
    None there, and 0 where the smallest share reaches the score already.
    """

    train_images: int
    score: float
    needed: float | None
    interval: tuple[float | None, float | None]


@dataclass(frozen=True)
class WithoutPretraining:
    """The best pretrained candidate against the best one from scratch, at the measured shares."""

    pretrained: Candidate
    from_scratch: Candidate
    fewest: int
    most: int
    """The smallest and largest number of training images that were measured."""
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Comparison:
    """A comparison, ready to be shown: `difference` and `without_pretraining` are None where they
    have no meaning."""

    directory: Path
    data: str
    results: Results
    difference: Difference | None
    without_pretraining: WithoutPretraining | None
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the shape of `zoo compare --json`."""
        grid, metric = self.results.grid, self.results.metric
        return {
            "directory": str(self.directory),
            "data": self.data,
            "task": self.results.task,
            "metric": None if metric is None else metric.name,
            "higher_is_better": metric is None or metric.higher_is_better,
            "seeds": list(grid.seeds),
            "folds": grid.folds,
            "fractions": list(grid.shares),
            "trainings": len(self.results.cells),
            "planned": len(grid.cells),
            "results": [_row_dict(row) for row in self.results.rows],
            "difference": None
            if self.difference is None
            else {**asdict(self.difference), "differ": self.difference.differ},
            "without_pretraining": None if self.without_pretraining is None else asdict(self.without_pretraining),
            "failed": [
                {"title": one.title, "directory": str(one.directory), "reason": one.reason} for one in self.failures
            ],
            "notes": list(self.notes),
        }


def compare(results: Results, directory: Path, data: str, failures: Sequence[Failure] = ()) -> Comparison:
    """Compare the finished cells of a grid."""
    return Comparison(
        directory,
        data,
        results,
        difference_of(results),
        without_pretraining(results),
        tuple(failures),
        tuple(doubts(results)),
    )


def difference_of(results: Results) -> Difference | None:
    """The best row of the largest share against the next, on the images that both answered; rows
    with more trainings come first.

    None with one row, where there are no answers, and for scores by a chosen metric.
    """
    rows = sorted(results.largest, key=lambda row: (-row.trainings, -results.gain(row)))[:2]
    if len(rows) < 2:
        return None
    first, second = (results.right(row.candidate, row.share) for row in rows)
    if first is None or second is None:
        return _difference_of_outputs(results, rows)
    if np.nansum(first - second) < 0:  # on the shared images alone
        rows, first, second = [rows[1], rows[0]], second, first
    shared = np.asarray(np.isfinite(first - second).any(axis=0))
    if not shared.any():
        return None
    groups_N = results.group_numbers(shared)
    if len(results.grid.seeds) == 1:
        pair = paired(first[0, shared] == 1, second[0, shared] == 1, groups_N)
    else:
        pair = _repeatedly_paired(first[:, shared], second[:, shared], groups_N)
    return Difference(first=rows[0].candidate, second=rows[1].candidate, **vars(pair))


def _difference_of_outputs(results: Results, rows: Sequence[Row]) -> Difference | None:
    """Compare two rows of labels or numbers, whose scores are no mean over images, by a bootstrap
    over the images and seeds that both answered."""
    scores = results.output_scores((row.candidate, row.share) for row in rows)
    if scores is None:
        return None
    (one, other), (one_B, other_B) = scores.observed(), scores.resampled()
    sign = 1 if one >= other else -1  # on the shared images alone
    first, second = rows[::sign]
    differences_B = sign * (one_B - other_B)
    return Difference(
        first=first.candidate,
        second=second.candidate,
        images=scores.images,
        groups=scores.groups,
        difference=float(abs(one - other)),
        interval=percentile_interval(differences_B),
        p=bootstrap_p(differences_B),
    )


def _repeatedly_paired(first_RN: FloatArray, second_RN: FloatArray, groups_N: Counts | None) -> Paired:
    """Compare the answers of several seeds on images that both answered."""
    by_repeat_RN = first_RN - second_RN
    gain_N: FloatArray = np.nanmean(by_repeat_RN, axis=0)
    asked_of_both = np.where(np.isfinite(by_repeat_RN), [first_RN, second_RN], np.nan)
    (first_B,), (second_B,) = resampled_scores(asked_of_both[:, np.newaxis], groups_N)
    return Paired(
        images=len(gain_N),
        groups=None if groups_N is None else int(groups_N.max()) + 1,
        difference=float(gain_N.mean()),
        interval=percentile_interval(first_B - second_B),
        first_only=int((gain_N > 0).sum()),
        second_only=int((gain_N < 0).sum()),
        p=p_of_signs(np.sign(gain_N).astype(np.int64), groups_N),
    )


def without_pretraining(results: Results) -> WithoutPretraining | None:
    """The training images that a start from scratch needs for the scores of the pretrained
    candidate.

    Both are the best of their kind at the largest share; from scratch the same backbone comes
    first. None with fewer than two shares, where one of the two kinds is missing, where there are
    no answers, and for scores by a chosen metric.
    """
    curves = [curve for row in results.largest if (curve := results.curve(row.candidate))]
    pretrained = next((curve for curve in curves if curve[-1].is_pretrained), None)
    scratch = [curve for curve in curves if not curve[-1].is_pretrained]
    if len(results.grid.shares) < 2 or pretrained is None or not scratch:
        return None
    backbone = pretrained[-1].candidate.backbone
    own = next((curve for curve in scratch if curve[-1].candidate.backbone == backbone), scratch[0])
    scores_MB = results.resampled([*pretrained, *own])
    if scores_MB is None:
        return None
    levels = _levels(pretrained, own, *np.split(scores_MB, 2))
    return WithoutPretraining(
        pretrained[-1].candidate, own[-1].candidate, own[0].train_images, own[-1].train_images, levels
    )


def _levels(
    pretrained: Sequence[Row], scratch: Sequence[Row], of_pretrained_FB: FloatArray, of_scratch_FB: FloatArray
) -> tuple[Level, ...]:
    """A level for each share, from the scores in resamples. The interval holds 95 % of the numbers
    of resampled images and repeats."""
    sizes_F = np.array([row.train_images for row in scratch], dtype=np.float64)
    scores_F1 = np.array([[row.score] for row in scratch])
    levels = []
    for row, targets_B in zip(pretrained, of_pretrained_FB, strict=True):
        (needed,) = images_to_reach(sizes_F, scores_F1, np.array([row.score]))
        found_B = images_to_reach(sizes_F, of_scratch_FB, targets_B)
        low, high = np.percentile(found_B, [2.5, 97.5], method="nearest")  # between two ends that may be infinite
        interval = _finite(low), _finite(high)
        levels.append(Level(train_images=row.train_images, score=row.score, needed=_finite(needed), interval=interval))
    return tuple(levels)


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


def _row_dict(row: Row) -> dict[str, Any]:
    return {
        **asdict(row.candidate),
        "fraction": row.share,
        "train_images": row.train_images,
        "score": row.score,
        "interval": None if row.interval is None else list(row.interval),
        "spread": row.spread,
        "baseline": row.baseline,
        "part": row.part,
        "images": row.images,
        "trainings": row.trainings,
        "planned": row.planned,
        "seconds": row.seconds,
        "trainable_parameters": row.trainable_parameters,
        "bytes": row.model_bytes,
    }
