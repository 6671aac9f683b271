"""Trains one cell of a grid, in whichever process this is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from zoo_core.attribution import naming_plugins
from zoo_core.catalog import Catalog
from zoo_core.choosing.grid import CACHE_TYPE, PRETRAINED, Cell
from zoo_core.errors import UsageError, ZooError
from zoo_core.runs.directory import CONFIG, read_facts
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.fields import settings_of
from zoo_core.training.callback import Callback
from zoo_core.training.job import Job
from zoo_core.training.result import CannotResume, Result
from zoo_core.training.run import finetune, resume
from zoo_core.wording import quoted


def train_cell(
    cell: Cell, directory: Path, catalog: Catalog, callback: Callback, show: Callable[[Job], None]
) -> Result:
    """Train a cell into a run directory, or resume it where it was begun; `show` gets its job.

    An error of a plugin's code becomes one that names the plugin.
    """
    with naming_plugins():
        spec = catalog.backbone(cell.candidate.backbone).spec
        if cell.candidate.weights == PRETRAINED and not spec.weights:
            raise UsageError(f"'{spec.name}' has no pretrained weights; --weights none trains it from scratch.")
        if _is_begun(directory):
            return _resume(cell, directory, catalog, callback, show)
        return finetune(replace(cell.config, out=str(directory)), catalog, callback, show)


def trainable_parameters(job: Job) -> int:
    """The trainable parameters of a cell's last phase, which its run does not record."""
    return job.trainable_count(len(job.plan.phases) - 1)


def notes_of(job: Job) -> tuple[str, ...]:
    """Sentences on poor prospects, settings without effect, and a cache that does not hold all; none on
    the type of cached features, which a comparison chooses itself."""
    own = "--cache-dtype " if job.config.cache_dtype == CACHE_TYPE else None
    notes = [note for note in job.notes if own is None or not note.startswith(own)]
    return (*notes, *filter(None, [job.caching.warning]))


def _is_begun(directory: Path) -> bool:
    """Whether a cell can be resumed. Files of one that was killed before it could be are removed."""
    if (directory / CONFIG).is_file():
        return True
    shutil.rmtree(directory, ignore_errors=True)
    return False


def _resume(cell: Cell, directory: Path, catalog: Catalog, callback: Callback, show: Callable[[Job], None]) -> Result:
    settings = settings_of(FinetuneConfig)
    asked = {name: getattr(cell.config, name) for name in settings if settings[name].per_machine and name != "out"}
    asked = {name: value for name, value in asked.items() if value != settings[name].default}
    anew = f"remove {quoted(directory)} and give the same command again."
    try:
        read_facts(directory)
    except ZooError as damaged:
        raise ZooError(f"{damaged} To train it anew, {anew}") from damaged
    try:
        return resume(directory, catalog, callback, show, per_machine=asked)
    except CannotResume as refused:
        raise ZooError(
            f"begun, and these have changed since:\n  {refused.changes}\nPut them back as they were, or {anew}"
        ) from None
