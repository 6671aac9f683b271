"""The data sets that `--data` names, opened: bundled or plugged in, of the Hub, shards, tables,
folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_core.catalog import Catalog, Choice, attributing_errors
from zoo_core.data.classes import check_classes
from zoo_core.data.fix_list import with_fix_list
from zoo_core.data.folders import read_folders
from zoo_core.data.groups import with_groups
from zoo_core.data.memory import open_in_memory
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Source
from zoo_core.data.tables import read_table
from zoo_core.errors import UsageError, brief
from zoo_core.options import NoOptions
from zoo_core.paths import user_path
from zoo_core.result_specs import TrackerSpec
from zoo_core.settings import IN_MEMORY, FinetuneConfig, TaskChoice
from zoo_core.specs import DatasetSpec, resolve
from zoo_core.streaming.open import open_streaming_dataset
from zoo_core.streaming.practice import BY_NAME, practice_set
from zoo_core.tasks import task_named


def open_configured(config: FinetuneConfig, catalog: Catalog, watch: Watch | None = None) -> Source:
    """The data of a config, as its fix list leaves them and in its groups. Raises as
    `open_dataset`, `with_fix_list` and `with_groups`."""
    source = with_fix_list(open_dataset(config.data, catalog, config.task, watch), config.fix_list)
    return with_groups(source, config.group_by)


def open_dataset(data: Any, catalog: Catalog, task: TaskChoice = "auto", watch: Watch | None = None) -> Source:
    """A bundled or plugged-in data set by its name, one of the Hub, by a short name too, tar
    shards, a CSV file, a folder, or data in memory.

    `watch` is told how many shards are looked at. Raises UsageError for another task.
    """
    data = str(data) if isinstance(data, Path) else data
    if not isinstance(data, str):
        return open_in_memory(data, task, watch)
    if data.startswith(IN_MEMORY):
        raise UsageError(
            "the images of this run were handed over by a program, and no path leads to them. Give them again: "
            "zoo_core.resume(run, data=...) or zoo_core.evaluate_run(run, data=...). `--data` takes others."
        )
    path = user_path(data)
    if path.suffix.lower() == ".csv":
        return read_table(path, task)
    practice = practice_set(data)
    if practice is not None and not path.exists() and data not in _installed(catalog):  # one's own of that name wins
        source = open_streaming_dataset(practice[1], task, watch)
        assert source is not None
        return replace(source, notes=(practice[0].note, *source.notes))
    source = open_streaming_dataset(data, task, watch) or _named_or_folder(data, catalog)
    if task not in ("auto", source.task):
        raise UsageError(f"{data} is for {source.task}. A CSV file can hold the targets for {task}: docs/data.md.")
    return source


def _installed(catalog: Catalog) -> set[str]:
    """The names of the data sets that are bundled or plugged in."""
    return {entry.spec.name for entry in catalog.entries(DatasetSpec)}


def others_named(
    config: FinetuneConfig, catalog: Catalog, trackers: Sequence[Choice[TrackerSpec]]
) -> dict[str, tuple[Choice[Any], ...]]:
    """The data set and the metric that a config names, and its trackers without their options,
    which may hold addresses: by setting, where there are any."""
    data, metric = config.data_text, config.metric
    entries = catalog.entries(DatasetSpec)
    names = {one.spec.name for one in entries} | {f"{one.distribution}:{one.spec.name}" for one in entries}
    found: dict[str, tuple[Choice[Any], ...]] = {
        "data": (catalog.dataset(data),) if data in names and not Path(data).exists() else (),
        "metric": () if metric == "auto" else (catalog.metric(metric),),
        "track": tuple(replace(one, options=NoOptions()) for one in trackers),
    }
    return {setting: choices for setting, choices in found.items() if choices}


def _check_targets(source: Source) -> None:
    """Raise ValueError for targets of a plugin's data set that do not fit its images or its
    classes."""
    outputs = len(source.classes)
    for name, part in source.parts.items():
        targets, images = np.asarray(part.targets), len(part.images)
        is_classified = task_named(source.task).single_label
        expected = (images,) if is_classified else (images, outputs)
        if targets.shape != expected:
            raise ValueError(f"the targets of its {name} part have the shape {targets.shape}, and not {expected}")
        if is_classified and images and not (targets.min() >= 0 and targets.max() < outputs):
            raise ValueError(
                f"the targets of its {name} part run from {targets.min()} to {targets.max()}, and its {outputs} classes "
                f"have the numbers 0 to {outputs - 1}"
            )


def _named_or_folder(data: str, catalog: Catalog) -> Source:
    known = _installed(catalog)
    if data.split(":")[-1] in known and not Path(data).exists():
        choice = catalog.dataset(data)
        load = resolve(choice.spec.load)
        with attributing_errors(choice.entry):
            source = load()
            if not isinstance(source, Source):
                raise TypeError(f"it gave {brief(source)}, not a Source")
            _check_targets(source)
        check_classes(source.classes, f"the data set '{data}'")
        return source
    if not Path(data).exists() and "/" not in data and "\\" not in data:
        raise UsageError(
            f"There is no folder and no data set '{data}'. Give a folder with one folder of images for each class, "
            f"a CSV file that names images, or one of: {', '.join([*sorted(known), *BY_NAME])}."
        )
    return read_folders(user_path(data))
