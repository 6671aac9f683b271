"""Evaluation of a run on labelled images."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.data.scan import Watch, scan_images
from zoo_core.data.sources import Part, PartName, Source
from zoo_core.errors import DataError, UsageError, printable
from zoo_core.library import load
from zoo_core.runs.schema import RunFacts
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named
from zoo_core.tasks.metrics import Baseline, Evaluation
from zoo_core.training.job import open_dataset

PARTS: tuple[PartName, ...] = ("test", "val", "train")
"""The parts in the order in which they are measured: the first that the data have."""


@dataclass(frozen=True)
class RunEvaluation:
    """The evaluation of a run, and the part of the data that it was measured on.

    `baseline` is the best constant answer: of the run's training images for its own data, else of the measured ones.
    """

    evaluation: Evaluation
    baseline: Baseline
    title: str
    part: str
    classes: tuple[str, ...]
    task: TaskName


@names_plugins
def evaluate_run(
    run: str | Path,
    *,
    data: Any = None,
    device: str = "auto",
    catalog: Catalog | None = None,
    scanning: Watch | None = None,
    watch: Watch | None = None,
) -> RunEvaluation:
    """Measure a run on `data` (all that `FinetuneConfig(data=...)` takes), or on the held-out part of its own data.

    `scanning` and `watch` are called with (images done, of how many), during the scan and during the evaluation.

    Raises DataError when the classes differ or when the run's own data are no longer what they were.
    """
    catalog = catalog or open_catalog()
    predictor = load(run, device=device, catalog=catalog)
    if predictor.facts is None:
        raise UsageError(f"'{run}' is a backbone; `zoo evaluate` measures a run directory that `zoo finetune` made.")
    facts = predictor.facts
    part_name: str
    if data is None:
        own = facts.config
        check_own_data(str(run), own.data_text)
        opened = open_dataset(own.data_text, catalog, facts.task, scanning)
        source = scan_images(opened, bad_images=own.bad_images, watch=scanning)
        source = source.with_validation(share=own.val_share, seed=own.seed, kind=str(facts.data.split.get("kind")))
        name = part_name = _held_out(source, facts)
        train = source.parts["train"]
    else:
        source = scan_images(open_dataset(data, catalog, facts.task, scanning), watch=scanning)
        name = next(name for name in PARTS if name in source.parts)
        part_name = "all" if name == "train" else name
        train = source.parts[name]  # the baseline's own training images
    task = task_named(source.task)
    part = source.parts[name]
    targets, train_targets = (
        task.reordered(one.targets, source.classes, facts.classes, source.title) for one in (part, train)
    )
    return RunEvaluation(
        evaluation=predictor.evaluate(Part(part.images, targets), watch),
        baseline=task.baseline(train_targets, targets),
        title=source.title,
        part=part_name,
        classes=facts.classes,
        task=source.task,
    )


def check_own_data(run: str, data: str) -> None:
    """Raise UsageError when a published model's config names data that would be fetched.

    A stranger wrote that config: its addresses are not asked without the user's word.
    """
    is_fetched = data.startswith("hf:") or "://" in data
    if is_fetched and (not Path(run).is_dir() or Path(run).absolute().parent.name == "snapshots"):
        raise UsageError(
            f"the config of {printable(run)} names data that would be fetched: {printable(data):.200}. "
            f"If you trust them: `zoo evaluate {printable(run)} --data {shlex.quote(printable(data)):.200}`."
        )


def _held_out(source: Source, facts: RunFacts) -> PartName:
    """The part that the run was measured on. Raises DataError when its images have changed."""
    name: PartName = "test" if "test" in source.parts else "val"
    if source.parts[name].digest() != facts.data.digests.get(name):
        title = printable(source.title)
        moved = "" if Path(source.title).is_absolute() else ", or the run was started in another folder"
        raise DataError(
            f"the images in {title} are not those that the run held out: files or classes have changed since{moved}. "
            f"Measure all of them with --data {title}, knowing that some may have trained the model."
        )
    return name
