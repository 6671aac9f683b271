"""The results of a grid's finished cells, and one row for each candidate with each share of the
training images.

Shapes: N images, R repeats.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean, stdev

import numpy as np

from zoo_core.choosing.folder import Folder
from zoo_core.choosing.grid import Candidate, Cell, Grid
from zoo_core.choosing.statistics import FloatArray
from zoo_core.choosing.strangers import strangers
from zoo_core.data.sources import Source
from zoo_core.errors import ZooError
from zoo_core.runs.answers import Answer, read_answers
from zoo_core.runs.card import score_of
from zoo_core.runs.directory import ANSWERS, MODEL, Run, read_result, read_run
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named
from zoo_core.tasks.metrics import ACCURACY, Metric, wilson

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
    several have that name; None where an image has no one answer."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A candidate with one share of the training images: its score over all repeats and folds."""

    candidate: Candidate
    share: float
    is_pretrained: bool
    score: float
    interval: tuple[float, float] | None
    """The Wilson interval of the accuracy, over the different images: repeats bring no further
    images. Of another metric the interval of a single training, None of several."""
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

    @property
    def task(self) -> TaskName | None:
        """The task of the data; None before the first cell is finished."""
        return self.cells[0].task if self.cells else None

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all shares, the best of each share first; complete ones stand before
        others."""
        made = [
            _row(self.grid, found, self.right(candidate, share) if self.is_by_accuracy else None)
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
        """Whether the score is the share of right answers, which has a test and a pooled
        interval."""
        return self.metric == ACCURACY

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

    def right(self, candidate: Candidate, share: float) -> FloatArray | None:
        """The answers (R, N) of a candidate by seed and image: 1 right, 0 wrong, NaN none. None
        where there is none, as for other tasks."""
        table = np.full((len(self.grid.seeds), len(self._places)), np.nan)
        for one in self.of(candidate, share):
            for image, is_right in (one.right or {}).items():
                table[self.grid.seeds.index(one.cell.seed), self._places[image]] = is_right
        return table if np.isfinite(table).any() else None

    @cached_property
    def _places(self) -> dict[str, int]:
        """The place of every image that any cell answered."""
        names = dict.fromkeys(image for one in self.cells for image in one.right or ())
        return {name: place for place, name in enumerate(names)}


def read_results(grid: Grid, folder: Folder, source: Source) -> Results:
    """Read every finished cell; `source` holds the images of today."""
    found, runs, damaged = [], [], []
    for cell in grid.cells:
        try:
            if folder.is_finished(cell):
                run = read_run(folder.directory(cell))
                answers = read_answers(run.directory)
                found.append((_read(cell, run, folder), answers))
                runs.append((cell, run))
        except ZooError as error:
            damaged.append(f"{error} Remove {folder.directory(cell)} to train it anew.")
    shared = _shared_names(answers for _, answers in found if answers is not None)
    cells = [
        one if answers is None else replace(one, right={_key(answer, shared): answer.is_right for answer in answers})
        for one, answers in found
    ]
    return Results(grid, tuple(cells), (*damaged, *strangers(runs, source)))


def doubts(results: Results) -> list[str]:
    """Sentences on the reasons for which the scores say less than they seem to."""
    found = list(results.faults)
    silent = [results.grid.title(one.cell) for one in results.cells if one.right is None]
    if 0 < len(silent) < len(results.cells):
        found.append(
            f"without {ANSWERS}, and so in no interval and no test: {'; '.join(silent)}. Remove their run directories and "
            "give the command again."
        )
    found += _notes_of_cells(results)
    if results.metric is not None and results.metric.is_proportion is False and any(one.right for one in results.cells):
        found.append(f"zoo has no test for a difference of two candidates by {results.metric.title}.")
    if any(one.part == "val" for one in results.cells):
        found.append(
            "the validation images were measured, which also chose the best epoch of each training: scores are a little too "
            "high. --folds 5 measures images that chose nothing."
        )
    return found


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


def _read(cell: Cell, run: Run, folder: Folder) -> CellResult:
    result, facts = read_result(run), run.facts
    return CellResult(
        cell=cell,
        task=facts.task,
        is_pretrained=facts.start is not None,
        score=score_of(result)[1],
        metric=task_named(facts.task).metric_of(result),
        score_interval=result.get("score_interval"),
        part=result["part"],
        images=result["images"],
        train_images=facts.data.images["train"],
        seconds=result.get("seconds", 0.0),
        trainable_parameters=folder.trainable_parameters(cell),
        model_bytes=(run.directory / MODEL).stat().st_size,
        baseline=result.get("baseline", {}).get("score"),
        notes=folder.notes(cell),
        right=None,
    )


def _shared_names(files: Iterable[Sequence[Answer]]) -> set[str]:
    """The names that several images have, as in shards."""
    digests: dict[str, str] = {}
    return {answer.image for answers in files for answer in answers if _is_another(answer, digests)}


def _is_another(answer: Answer, digests: dict[str, str]) -> bool:
    """Whether an image of the same name and another content was met before; this one is noted."""
    return bool(answer.digest) and digests.setdefault(answer.image, answer.digest) != answer.digest


def _key(answer: Answer, shared: Collection[str]) -> str:
    return f"{answer.image} {answer.digest}" if answer.image in shared else answer.image


def _row(grid: Grid, found: Sequence[CellResult], right_RN: FloatArray | None) -> Row:
    by_seed = [[one for one in found if one.cell.seed == seed] for seed in grid.seeds]
    scores = [_mean_score(own) for own in by_seed if own]
    images, score, interval = sum(one.images for one in next(filter(None, by_seed))), fmean(scores), None
    if right_RN is not None:
        answered_N = np.isfinite(right_RN).any(axis=0)
        images, score = int(answered_N.sum()), float(np.nanmean(right_RN))
        interval = wilson(score * images, images)
    elif len(found) == 1 and found[0].score_interval is not None:
        interval = found[0].score_interval[0], found[0].score_interval[1]
    baselines = [one.baseline for one in found if one.baseline is not None]
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


def _mean_score(found: Sequence[CellResult]) -> float:
    """The score of one seed over its folds, each image counted once."""
    return sum(one.score * one.images for one in found) / sum(one.images for one in found)
