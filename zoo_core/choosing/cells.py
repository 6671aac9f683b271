"""Trains the cells of a grid, one after the other or several at a time. Finished ones stay as they
are, and begun ones are resumed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Protocol

from zoo_core.catalog import Catalog
from zoo_core.choosing.elsewhere import Delivery, Trained, marked, order_of, take_over, train_elsewhere
from zoo_core.choosing.folder import Folder
from zoo_core.choosing.grid import Cell, Grid
from zoo_core.choosing.one_cell import notes_of, train_cell, trainable_parameters
from zoo_core.data.arrange import arranged
from zoo_core.data.scan import Watch, scan_images
from zoo_core.data.sources import Source
from zoo_core.errors import DataError, UsageError, ZooError, reason_of, signal_of
from zoo_core.settings import FinetuneConfig
from zoo_core.training.callback import Callback
from zoo_core.training.failing import is_written
from zoo_core.training.job import Job
from zoo_core.training.opening import open_configured
from zoo_core.training.stopping import ForcedExit, Interrupted, stop_on_signals

USUAL_FOLDS = (10, 5, 3, 2)  # those that are named where more do not go
STOP_POLL = 0.1  # seconds until a Ctrl-C reaches the trainings elsewhere; nobody notices so few
STOPPING = "stopping: the trainings that run finish their step and are saved (once more to leave at once)"
SAVED_AFTER = 60  # seconds in which a process that lost its command ends its step and saves, on a slow machine too
SAVING = "processes of a command that was killed still save their trainings: waiting for them"
AGAIN = "Give the same command again to train it."


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
        """Cell `number` of the grid, counted from 1, is trained now in this process: the callback of
        its training."""

    def show(self, job: Job) -> None:
        """Its job is prepared."""

    def end(self, cell: Cell, outcome: Trained | Failure) -> None:
        """A cell is trained, or has failed."""

    def progress(self, done: int, total: int) -> None:
        """So many of the cells that are trained elsewhere have ended."""

    def message(self, text: str) -> None:
        """A person should know this."""


def check_data(grid: Grid, catalog: Catalog, watch: Watch | None = None) -> Source:
    """Open and scan the data once, and make the parts of every repeat, so that a fault in them is
    an error at once and not one of every cell. Raises UsageError or DataError."""
    config = grid.cells[0].config
    source = scan_images(open_configured(config, catalog, watch), bad_images=config.bad_images, watch=watch)
    configs = [cell.config for cell in {cell.repeat: cell for cell in grid.cells}.values()]
    try:
        made = [arranged(source, one) for one in configs]
    except DataError as error:
        fewer = next(
            (count for count in USUAL_FOLDS if count < (grid.folds or 0) and _goes(source, configs, count)), None
        )
        if fewer is None and grid.folds and len(source.classes) > 1:
            raise DataError(f"{error} Give it more images.") from error
        if fewer is None:
            raise
        raise DataError(f"{error} --folds {fewer} goes.") from error
    if any(len(one.parts) == 1 for one in made):
        raise UsageError(
            "--val-share 0 holds no image out, and a comparison needs scores. Leave it out, or measure with --folds 5."
        )
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


def train_cells(
    grid: Grid, folder: Folder, catalog: Catalog, watching: Watching, executor: Executor | None = None
) -> Outcome:
    """Train every cell that is not finished, until all are or a signal comes: in the order of the
    grid in this process, or by an executor, as many at a time as it takes.

    A worker of the executor that dies is a failure of the cell that it trained.
    """
    try:
        todo = _unfinished(grid, folder, watching)
    except KeyboardInterrupt as stop:
        return Outcome((), signal_of(stop))
    if executor is None:
        return _train_here(grid, todo, folder, catalog, watching)
    return _train_elsewhere(grid, todo, folder, catalog, watching, executor)


def _unfinished(grid: Grid, folder: Folder, watching: Watching) -> list[Cell]:
    """The cells to train. Processes of a command that was killed may be saving some yet, and are
    waited for."""
    waited = 0
    while True:
        todo = [cell for cell in grid.cells if not folder.is_finished(cell)]
        if waited > SAVED_AFTER / STOP_POLL or not any(is_written(folder.directory(cell)) for cell in todo):
            return todo
        if not waited:
            watching.message(SAVING)
        waited += 1
        time.sleep(STOP_POLL)


def _train_here(grid: Grid, todo: Sequence[Cell], folder: Folder, catalog: Catalog, watching: Watching) -> Outcome:
    failures: list[Failure] = []
    try:
        for cell in todo:
            watching.end(cell, outcome := _trained_here(grid, cell, folder, catalog, watching))
            if isinstance(outcome, Failure):
                failures.append(outcome)
            elif outcome.stopped_by is not None:
                return Outcome(tuple(failures), outcome.stopped_by)
    except Interrupted as stop:
        return Outcome(tuple(failures), stop.signum)
    except KeyboardInterrupt as stop:  # between two trainings, or while one was prepared: nothing was begun
        return Outcome(tuple(failures), signal_of(stop))
    return Outcome(tuple(failures))


def _trained_here(grid: Grid, cell: Cell, folder: Folder, catalog: Catalog, watching: Watching) -> Trained | Failure:
    """Train one cell; an error is its own, and the others go on."""

    def begun(job: Job) -> None:
        folder.note(cell, trainable_parameters(job), notes_of(job))
        watching.show(job)

    directory = folder.directory(cell)
    try:
        return Trained.of(train_cell(cell, directory, catalog, watching.begin(grid.cells.index(cell) + 1, cell), begun))
    except (Interrupted, BrokenPipeError):  # the reader of our output has gone
        raise
    except Exception as error:
        return Failure(grid.title(cell), directory, str(error) if isinstance(error, ZooError) else reason_of(error))


def _train_elsewhere(
    grid: Grid, todo: Sequence[Cell], folder: Folder, catalog: Catalog, watching: Watching, executor: Executor
) -> Outcome:
    failures: list[Failure] = []
    told = False
    with marked(folder.root) as token, stop_on_signals(lambda: watching.message(STOPPING)) as stop_request:
        try:
            waiting = {_submitted(executor, cell, folder, catalog, token): cell for cell in todo}
            while waiting:
                watching.progress(len(todo) - len(waiting), len(todo))
                wait(waiting, STOP_POLL, FIRST_COMPLETED)
                for future in [one for one in waiting if one.done()]:
                    cell = waiting.pop(future)
                    outcome = _ended(future, grid, cell, folder, is_stopping=told)
                    if isinstance(outcome, Failure):
                        failures.append(outcome)
                    if outcome is not None:
                        watching.end(cell, outcome)
                if stop_request.signal is not None and not told:
                    told = True
                    executor.shutdown(wait=False, cancel_futures=True)
        except ForcedExit:
            executor.shutdown(wait=False, cancel_futures=True)
        return Outcome(tuple(failures), stop_request.signal)


def _submitted(executor: Executor, cell: Cell, folder: Folder, catalog: Catalog, token: str) -> Future[Delivery]:
    """The call that trains a cell. One that the executor does not take has failed."""
    try:
        return executor.submit(train_elsewhere, order_of(cell, folder.directory(cell), catalog, token))
    except Exception as error:
        failed: Future[Delivery] = Future()
        failed.set_exception(error)
        return failed


def _ended(
    future: Future[Delivery], grid: Grid, cell: Cell, folder: Folder, *, is_stopping: bool
) -> Trained | Failure | None:
    """The outcome of a cell elsewhere, whose files are put into its directory; None for one that
    was stopped."""
    title, directory = grid.title(cell), folder.directory(cell)
    try:
        delivery = future.result()
    except Exception as error:
        return None if is_stopping else Failure(title, directory, f"its worker ended: {reason_of(error)}. {AGAIN}")
    try:
        if delivery.trainable_parameters is not None:
            folder.note(cell, delivery.trainable_parameters, delivery.notes)
        if delivery.trained is not None:
            take_over(delivery, directory)
            return delivery.trained
    except Exception as error:  # of this cell: a full disk, or a file that a shared folder does not show yet
        return Failure(title, directory, f"its files cannot be put there: {reason_of(error)}. {AGAIN}")
    if delivery.failure is not None:
        return Failure(title, directory, delivery.failure)
    return None if is_stopping else Failure(title, directory, f"a signal stopped its worker. {AGAIN}")
