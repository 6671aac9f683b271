"""A cell in another process, of this machine or of another: its order, and its delivery.

A process that sees the folder of the comparison trains in there, so that a stopped training can be
resumed. Any other trains in a folder of its own, and delivers the files of the finished run.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from zoo_core.catalog import Catalog, Entry, open_catalog
from zoo_core.choosing.folder import leave_note, name_directory
from zoo_core.choosing.grid import Cell
from zoo_core.choosing.one_cell import notes_of, train_cell, trainable_parameters
from zoo_core.data.augmentation import chosen_augmentation
from zoo_core.data.places import PLACES, with_places
from zoo_core.discovery import CORE
from zoo_core.errors import DataError, ZooError, reason_of, signal_of
from zoo_core.paths import write_text, written_whole
from zoo_core.runs.directory import MODEL
from zoo_core.tasks.metrics import Metric
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import Job
from zoo_core.training.result import Result
from zoo_core.training.stopping import Interrupted
from zoo_core.version import __version__

MARK = ".here"
"""A file in the folder of a comparison, with a token: a process that reads it there sees the
folder."""


@dataclass(frozen=True)
class Trained:
    """A cell that was trained: its score, and the seconds of its epochs."""

    metric: Metric
    score: float
    seconds: float
    stopped_by: int | None = None
    """The signal that came when its results were being written."""

    @classmethod
    def of(cls, result: Result) -> Trained:
        seconds = sum(report.seconds for report in result.trained.epochs)
        return cls(result.evaluation.shown, result.evaluation.score, seconds, result.stopped_by)


@dataclass(frozen=True)
class Order:
    """A cell as another process gets it: plain data, which can be pickled."""

    cell: Cell
    directory: Path
    """Its run directory on the machine of the order, absolute."""
    token: str
    host: str
    versions: Mapping[str, str]
    """The versions by distribution that its result depends on."""
    files: tuple[str, ...]
    """The settings that name files here, which must have the same path where the cell is
    trained."""
    with_plugins: bool


@dataclass(frozen=True)
class Delivery:
    """The end of a cell elsewhere: trained, failed for a reason, or stopped by a signal."""

    trained: Trained | None = None
    failure: str | None = None
    stopped_by: int | None = None
    trainable_parameters: int | None = None
    notes: tuple[str, ...] = ()
    files: Mapping[str, bytes] | None = None
    """The run's files by name; None where they are in the run directory already."""


@contextmanager
def marked(root: Path) -> Iterator[str]:
    """Mark the folder of a comparison, for the processes that see it; the value is the token."""
    token = secrets.token_hex(16)
    write_text(root / MARK, token)
    try:
        yield token
    finally:
        (root / MARK).unlink(missing_ok=True)


def order_of(cell: Cell, directory: Path, catalog: Catalog, token: str) -> Order:
    """The order to train a cell elsewhere. Raises UsageError for a backbone, head or strategy that
    there is not."""
    spec = catalog.backbone(cell.candidate.backbone).spec
    config = with_places(cell.config, [ref.tag for ref in spec.weights])
    return Order(
        cell=replace(cell, config=config),
        directory=directory.absolute(),
        token=token,
        host=socket.gethostname(),
        versions=_versions(cell, catalog),
        files=tuple(name for name in PLACES if _is_file(getattr(config, name))),
        with_plugins=any(record.distribution != CORE for record in catalog.records),
    )


def train_elsewhere(order: Order) -> Delivery:
    """Train the cell of an order in this process; an error is delivered too."""
    jobs: list[tuple[int, tuple[str, ...]]] = []

    def show(job: Job) -> None:
        jobs.append((trainable_parameters(job), notes_of(job)))
        if sees_folder:
            leave_note(order.directory, *jobs[0])

    with tempfile.TemporaryDirectory(prefix="zoo-cell-", ignore_cleanup_errors=True) as own:
        sees_folder = _token_in(order.directory.parent) == order.token
        directory = order.directory if sees_folder else Path(own) / order.directory.name
        try:
            catalog = _catalog(with_plugins=order.with_plugins)
            _check_machine(order, catalog)
            result = train_cell(order.cell, directory, catalog, NullCallback(), show)
            files = None if sees_folder else {path.name: path.read_bytes() for path in directory.iterdir()}
            trainable, notes = jobs[0]
            return Delivery(
                trained=Trained.of(result),
                stopped_by=result.stopped_by,
                trainable_parameters=trainable,
                notes=notes,
                files=files,
            )
        except Interrupted as stop:
            return Delivery(stopped_by=stop.signum)
        except KeyboardInterrupt as stop:  # while the training was prepared, and nothing was begun
            return Delivery(stopped_by=signal_of(stop))
        except Exception as error:
            reason = str(error) if isinstance(error, ZooError) else reason_of(error)
            here = socket.gethostname()
            return Delivery(failure=reason if here == order.host else f"on {here}: {reason}")


def take_over(delivery: Delivery, directory: Path) -> None:
    """Put delivered files into the run directory; the weights come last, which mark a finished run.

    The config then names the directory as a training in this process does.
    """
    if delivery.files is not None:
        shutil.rmtree(directory, ignore_errors=True)  # one that was begun here
        for name in sorted(delivery.files, key=lambda name: name == MODEL):
            with written_whole(directory / name) as temporary:
                temporary.write_bytes(delivery.files[name])
    name_directory(directory)


@cache
def _catalog(*, with_plugins: bool) -> Catalog:
    """A process trains many cells, and the plugins stay the same."""
    return open_catalog(with_plugins=with_plugins)


def _versions(cell: Cell, catalog: Catalog) -> dict[str, str]:
    choice, config = cell.candidate, cell.config
    chosen: list[Entry[Any]] = [catalog.backbone(choice.backbone).entry, catalog.head(choice.head).entry]
    if choice.strategy != "auto":
        chosen.append(catalog.strategy(choice.strategy).entry)
    if config.metric != "auto":
        chosen.append(catalog.metric(config.metric).entry)
    augmentation = chosen_augmentation(config.augment, catalog)
    chosen += [one.entry for one in augmentation.choices] if augmentation is not None else []
    return {"torch": torch.__version__, CORE: __version__, **{one.distribution: one.version for one in chosen}}


def _check_machine(order: Order, catalog: Catalog) -> None:
    """Raise ZooError where this machine has other versions, DataError where it lacks a file."""
    here = _versions(order.cell, catalog)
    others = [
        f"{name} {here.get(name, 'from another distribution')} and not {version}"
        for name, version in order.versions.items()
        if here.get(name) != version
    ]
    if others:
        raise ZooError(
            f"this machine has {', '.join(others)}, and results of different versions do not compare. Install the same "
            "versions on all machines."
        )
    missing = [place for name in order.files if not _is_file(place := getattr(order.cell.config, name))]
    if missing:
        raise DataError(
            f"there is no {' and no '.join(missing)} on this machine. Every machine reads files from the same path: share "
            "the folder, copy it to there, or take data of the Hub."
        )


def _is_file(place: object) -> bool:
    """Whether a place is a file or folder here; one that was made absolute, unlike a word."""
    return isinstance(place, str) and os.path.isabs(place) and os.path.exists(place)


def _token_in(folder: Path) -> str | None:
    with suppress(OSError, ValueError):  # not there, or something else
        return (folder / MARK).read_text(encoding="utf-8")
    return None
