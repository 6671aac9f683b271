"""Trains the cells of a grid one after the other. Finished ones stay as they are, and begun ones
are resumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Protocol

from zoo_core.attribution import naming_plugins
from zoo_core.catalog import Catalog
from zoo_core.choosing.folder import Folder
from zoo_core.choosing.grid import PRETRAINED, Cell, Grid
from zoo_core.data.arrange import arranged
from zoo_core.data.scan import Watch, scan_images
from zoo_core.data.sources import Source
from zoo_core.errors import DataError, UsageError, ZooError, reason_of
from zoo_core.runs.directory import read_facts
from zoo_core.settings import FinetuneConfig
from zoo_core.training.callback import Callback
from zoo_core.training.job import Job, open_configured
from zoo_core.training.run import CannotResume, Result, finetune, resume
from zoo_core.training.stopping import Interrupted
from zoo_core.wording import quoted

USUAL_FOLDS = (10, 5, 3, 2)  # those that are named where more do not go


@dataclass(frozen=True)
class Failure:
    """A cell that could not be trained, and the reason."""

    title: str
    directory: Path
    reason: str


@dataclass(frozen=True)
class Outcome:
    """The end of a comparison's trainings: those that failed, and the signal that stopped it, if
    one did."""

    failures: tuple[Failure, ...]
    stopped_by: int | None = None


class Watching(Protocol):
    """Follows the cells; the command line shows them."""

    def begin(self, number: int, cell: Cell) -> Callback:
        """Cell `number` of the grid, counted from 1, is trained now: the callback of its
        training."""

    def show(self, job: Job) -> None:
        """Its job is prepared."""

    def end(self, cell: Cell, outcome: Result | Failure) -> None:
        """It is trained, or has failed."""


def check_data(grid: Grid, catalog: Catalog, watch: Watch | None = None) -> Source:
    """Open and scan the data once, and make the parts of every repeat, so that a fault in them is an
    error at once and not one of every cell. Raises UsageError or DataError."""
    config = grid.cells[0].config
    source = scan_images(open_configured(config, catalog, watch), bad_images=config.bad_images, watch=watch)
    configs = [cell.config for cell in {cell.repeat: cell for cell in grid.cells}.values()]
    try:
        for one in configs:
            arranged(source, one)
    except DataError as error:
        fewer = next(
            (count for count in USUAL_FOLDS if count < (grid.folds or 0) and _goes(source, configs, count)), None
        )
        if fewer is None:
            raise
        raise DataError(f"{error} --folds {fewer} goes.") from error
    return source


def _goes(source: Source, configs: Sequence[FinetuneConfig], folds: int) -> bool:
    """Whether every repeat has its parts with so many folds."""
    repeats = {(one.seed, one.train_share): one for one in configs}.values()
    try:
        for one, number in product(repeats, range(1, folds + 1)):
            arranged(source, replace(one, fold=f"{number}/{folds}"))
    except DataError:
        return False
    return True


def train_cells(grid: Grid, folder: Folder, catalog: Catalog, watching: Watching) -> Outcome:
    """Train every cell that is not finished, in the order of the grid, until all are or a signal
    comes."""
    failures: list[Failure] = []
    for number, cell in enumerate(grid.cells, 1):
        if folder.is_finished(cell):
            continue
        try:
            with naming_plugins():
                outcome: Result | Failure = _train(cell, folder, catalog, watching.begin(number, cell), watching.show)
        except Interrupted as stop:
            return Outcome(tuple(failures), stop.signum)
        except KeyboardInterrupt:  # while a training was prepared, and nothing was begun
            return Outcome(tuple(failures), 2)
        except BrokenPipeError:  # the reader of our output has gone
            raise
        except Exception as error:  # of this cell alone: the others go on
            reason = str(error) if isinstance(error, ZooError) else reason_of(error)
            outcome = Failure(grid.title(cell), folder.directory(cell), reason)
            failures.append(outcome)
        watching.end(cell, outcome)
        if isinstance(outcome, Result) and outcome.stopped_by is not None:
            return Outcome(tuple(failures), outcome.stopped_by)
    return Outcome(tuple(failures))


def _train(cell: Cell, folder: Folder, catalog: Catalog, callback: Callback, show: Callable[[Job], None]) -> Result:
    """Train a cell, or go on with it where it was begun."""
    spec = catalog.backbone(cell.candidate.backbone).spec
    if cell.candidate.weights == PRETRAINED and not spec.weights:
        raise UsageError(f"'{spec.name}' has no pretrained weights; --weights none trains it from scratch.")

    def begun(job: Job) -> None:
        folder.note_parameters(cell, job.trainable_count(len(job.plan.phases) - 1))
        show(job)

    directory = folder.directory(cell)
    if folder.is_begun(cell):
        anew = f"remove {quoted(directory)} and give the same command again."
        try:
            read_facts(directory)
        except ZooError as damaged:
            raise ZooError(f"{damaged} To train it anew, {anew}") from damaged
        try:
            return resume(directory, catalog, callback, begun)
        except CannotResume as refused:
            raise ZooError(
                f"begun, and these have changed since:\n  {refused.changes}\nPut them back as they were, or {anew}"
            ) from None
    return finetune(replace(cell.config, out=str(directory)), catalog, callback, begun)
