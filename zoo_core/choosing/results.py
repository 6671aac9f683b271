"""The results of a grid's finished cells, and one row for each candidate with each share of the
training images.

Shapes: N images, R repeats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from statistics import fmean, stdev

import numpy as np

from zoo_core.choosing.grid import Candidate, Cell, Grid
from zoo_core.choosing.output_scores import OutputScores
from zoo_core.choosing.statistics import BoolArray, FloatArray, resampled_scores
from zoo_core.runs.answers import OutputAnswers
from zoo_core.runs.directory import ANSWERS
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named
from zoo_core.tasks.bootstrap import FEWEST
from zoo_core.tasks.grouped import group_numbers, share_interval
from zoo_core.tasks.metrics import ACCURACY, Counts, Metric

NUMBER = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """The result of one finished cell."""

    cell: Cell
    task: TaskName
    is_pretrained: bool
    score: float
    metric: Metric
    score_interval: tuple[float, float] | None
    """The interval of its score, None of a run that recorded none."""
    part: str
    images: int
    train_images: int
    seconds: float
    trainable_parameters: int | None
    model_bytes: int
    baseline: float | None = None
    """The score of the best constant answer on its images; None of a run that recorded none."""
    notes: tuple[str, ...] = ()
    """Sentences on poor prospects and on settings without effect."""
    right: Mapping[str, bool] | None
    """Whether each measured image was answered rightly, by its name, or by name and digest where
    several have that name; None of labels and numbers."""
    outputs: OutputAnswers | None = None
    """The answers of labels and numbers, with images named in the same way."""

    @property
    def has_answers(self) -> bool:
        return self.right is not None or self.outputs is not None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A candidate with one share of the training images: its score over all repeats and folds."""

    candidate: Candidate
    share: float
    is_pretrained: bool
    score: float
    interval: tuple[float, float] | None
    """The interval of the score over the different images, for repeats bring no further ones:
    Wilson's of an accuracy, a bootstrap of mAP and R2. By another metric that of a single training,
    None of several."""
    spread: float | None
    """The standard deviation of the score between seeds; None with one seed."""
    baseline: float | None
    """The score of the best constant answer, the mean over the trainings."""
    part: str
    """The images that were measured: test, val or out-of-fold."""
    images: int
    train_images: int
    trainings: int
    planned: int
    seconds: float
    """The mean of a training's seconds."""
    trainable_parameters: int | None
    model_bytes: int

    @property
    def is_complete(self) -> bool:
        return self.trainings == self.planned


@dataclass(frozen=True)
class Results:
    """All results of a grid."""

    grid: Grid
    cells: tuple[CellResult, ...]
    faults: tuple[str, ...] = ()
    """Sentences on runs that cannot be read, or do not belong with the others."""
    groups: Mapping[str, str] | None = None
    """The group of each image by its name, None where each counts for itself."""

    @property
    def task(self) -> TaskName | None:
        """The task of the data; None before the first cell is finished."""
        return self.cells[0].task if self.cells else None

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all shares, the best of each share first; complete ones stand before
        others."""
        made = [
            _row(self, found, self.right(candidate, share), self.output_scores([(candidate, share)]))
            for share in self.grid.shares
            for candidate in self.grid.candidates
            if (found := self.of(candidate, share))
        ]
        return tuple(sorted(made, key=lambda row: (row.share, not row.is_complete, -self.gain(row))))

    @property
    def metric(self) -> Metric | None:
        """The metric that orders the candidates; None before the first cell is finished."""
        return self.cells[0].metric if self.cells else None

    @property
    def is_by_accuracy(self) -> bool:
        """Whether the score is the share of right answers."""
        return self.metric == ACCURACY

    @property
    def is_by_own_metric(self) -> bool:
        """Whether the score is by the task's own metric, which has a test, and not by a chosen
        one."""
        return self.task is not None and self.metric == task_named(self.task).metric

    def gain(self, row: Row) -> float:
        """A number that is higher for a better score."""
        return row.score if self.metric is None else self.metric.gain(row.score)

    @property
    def largest(self) -> tuple[Row, ...]:
        """The rows of the largest share that has any, which the candidates are compared by."""
        return tuple(row for row in self.rows if row.share == self.rows[-1].share)

    def curve(self, candidate: Candidate) -> list[Row]:
        """The rows of a candidate by rising share; empty unless all of its trainings are there."""
        rows = [row for row in self.rows if row.candidate == candidate and row.is_complete]
        return rows if len(rows) == len(self.grid.shares) else []

    def of(self, candidate: Candidate, share: float) -> list[CellResult]:
        return [one for one in self.cells if (one.cell.candidate, one.cell.share) == (candidate, share)]

    def output_scores(self, candidates: Iterable[tuple[Candidate, float]]) -> OutputScores | None:
        """The scores of labels or numbers of candidates, each with a share, on the images that all
        answered. None where there are none, as for classes, and by a chosen metric."""
        trainings = [self._outputs(*one) for one in candidates]
        if self.task is None or not self.is_by_own_metric or not all(map(any, trainings)):
            return None
        scores = OutputScores(task_named(self.task), trainings, self.groups)
        return scores if scores.images and not scores.has_few_groups else None

    def resampled(self, rows: Sequence[Row]) -> FloatArray | None:
        """The scores (M, B) of M rows in the same resamples of the images and repeats; None where
        one of them has no answers."""
        tables = [self.right(row.candidate, row.share) for row in rows]
        if all(table is not None for table in tables):
            return resampled_scores(np.array(tables, dtype=np.float64)[:, np.newaxis], self.group_numbers())[:, 0]
        scores = self.output_scores((row.candidate, row.share) for row in rows)
        return None if scores is None else scores.resampled()

    def right(self, candidate: Candidate, share: float) -> FloatArray | None:
        """The answers (R, N) of a candidate by seed and image: 1 right, 0 wrong, NaN none. None
        where there is none, as for other tasks, and for scores that are no share of right
        answers."""
        if not self.is_by_accuracy:
            return None
        table = np.full((len(self.grid.seeds), len(self._places)), np.nan)
        for one in self.of(candidate, share):
            for image, is_right in (one.right or {}).items():
                table[self.grid.seeds.index(one.cell.seed), self._places[image]] = is_right
        return table if np.isfinite(table).any() else None

    def _outputs(self, candidate: Candidate, share: float) -> list[list[OutputAnswers]]:
        """The answers of a candidate by seed and fold."""
        found = self.of(candidate, share)
        return [[one.outputs for one in found if one.cell.seed == seed and one.outputs] for seed in self.grid.seeds]

    def group_numbers(self, chosen_N: BoolArray | None = None) -> Counts | None:
        """The number of the group of each image in the tables of `right`, or of the chosen ones;
        None without groups."""
        if self.groups is None:
            return None
        names = [self.groups.get(name) for name in self._places]
        return group_numbers(names if chosen_N is None else list(compress(names, chosen_N)))

    @cached_property
    def _places(self) -> dict[str, int]:
        """The place of every image that any cell answered."""
        names = dict.fromkeys(image for one in self.cells for image in one.right or ())
        return {name: place for place, name in enumerate(names)}


def doubts(results: Results) -> list[str]:
    """Sentences on the reasons for which the scores say less than they seem to."""
    found = list(results.faults)
    silent = [results.grid.title(one.cell) for one in results.cells if not one.has_answers]
    if 0 < len(silent) < len(results.cells):
        found.append(
            f"without {ANSWERS}, and so in no interval and no test: {'; '.join(silent)}. Remove their run directories and "
            "give the command again."
        )
    found += _notes_of_cells(results)
    if results.groups and results.is_by_own_metric and not results.is_by_accuracy and not _has_intervals(results):
        found.append(f"of fewer than {FEWEST} groups, labels and numbers have neither an interval nor a test.")
    if results.metric is not None and not results.is_by_own_metric:
        found.append(f"zoo has no test for a difference of two candidates by {results.metric.title}.")
    if any(one.part == "val" for one in results.cells):
        found.append(
            "the validation images were measured, which also chose the best epoch of each training: scores are a little too "
            "high. --folds 5 measures images that chose nothing."
        )
    return found


def _has_intervals(results: Results) -> bool:
    return any(row.interval is not None for row in results.rows)


def _notes_of_cells(results: Results) -> list[str]:
    """The notes on the trainings, each once: in how many images they count, those of one candidate
    may differ."""
    by_note: dict[str, tuple[str, set[Candidate]]] = {}
    for one in results.cells:
        for note in one.notes:
            by_note.setdefault(NUMBER.sub("#", note), (note, set()))[1].add(one.cell.candidate)
    everyone = {one.cell.candidate for one in results.cells}
    lines = []
    for note, candidates in by_note.values():
        titles = [one.title(results.grid.axes) for one in results.grid.candidates if one in candidates]
        lines.append(note if candidates == everyone else f"{'; '.join(titles)}: {note}")
    return lines


def _row(
    results: Results, found: Sequence[CellResult], right_RN: FloatArray | None, outputs: OutputScores | None
) -> Row:
    grid = results.grid
    by_seed = [[one for one in found if one.cell.seed == seed] for seed in grid.seeds]
    scores = [_over_folds([(one.score, one.images) for one in own]) for own in by_seed if own]
    images, score, interval = sum(one.images for one in next(filter(None, by_seed))), fmean(scores), None
    if right_RN is not None:
        answered_N = np.asarray(np.isfinite(right_RN).any(axis=0))
        images, score = int(answered_N.sum()), float(np.nanmean(right_RN))
        interval = share_interval(np.nanmean(right_RN[:, answered_N], axis=0), results.group_numbers(answered_N))
    elif outputs is not None:
        (interval,) = outputs.intervals()
    elif len(found) == 1 and found[0].score_interval is not None:
        interval = found[0].score_interval[0], found[0].score_interval[1]
    known = [[(one.baseline, one.images) for one in own if one.baseline is not None] for own in by_seed]
    baselines = [_over_folds(own) for own in known if own]
    return Row(
        candidate=found[0].cell.candidate,
        share=found[0].cell.share,
        is_pretrained=found[0].is_pretrained,
        score=score,
        interval=interval,
        spread=stdev(scores) if len(scores) > 1 else None,
        baseline=fmean(baselines) if baselines else None,
        part="out-of-fold" if grid.folds else found[0].part,
        images=images,
        train_images=round(fmean(one.train_images for one in found)),
        trainings=len(found),
        planned=len(grid.seeds) * (grid.folds or 1),
        seconds=fmean(one.seconds for one in found),
        trainable_parameters=found[0].trainable_parameters,
        model_bytes=found[0].model_bytes,
    )


def _over_folds(found: Sequence[tuple[float, int]]) -> float:
    """A value of one seed from those of its folds and their images, each image counted once."""
    return sum(value * images for value, images in found) / sum(images for _, images in found)
