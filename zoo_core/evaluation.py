"""Measures a fine-tuned run on images whose answers are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo_core.catalog import Catalog, open_catalog
from zoo_core.data.scan import Watch, scan_images
from zoo_core.data.sources import Part, PartName, Source
from zoo_core.errors import DataError, UsageError, printable
from zoo_core.library import load
from zoo_core.runs.schema import RunFacts
from zoo_core.specs import OUTPUTS, Task
from zoo_core.tasks.metrics import Evaluation
from zoo_core.training.job import open_dataset


@dataclass(frozen=True)
class RunEvaluation:
    """An evaluation and what it was measured on."""

    evaluation: Evaluation
    title: str
    part: str
    classes: tuple[str, ...]
    task: Task


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

    `scanning` and `watch` are told (images done, of how many) while they are looked at, and while they are measured.

    Raises DataError when the classes differ or when the run's own data are no longer what they were.
    """
    catalog = catalog or open_catalog()
    predictor = load(run, device=device, catalog=catalog)
    if predictor.facts is None:
        raise UsageError(f"'{run}' is a backbone; `zoo evaluate` measures a run directory that `zoo finetune` made.")
    if data is None:
        own = predictor.facts.config
        opened = open_dataset(own.data, catalog, predictor.facts.task, scanning)
        source = scan_images(opened, bad_images=own.bad_images, watch=scanning)
        part_name, part = _held_out(source, predictor.facts)
    else:
        data = str(data) if isinstance(data, Path) else data
        source = scan_images(open_dataset(data, catalog, predictor.facts.task, scanning), watch=scanning)
        name: PartName = next(name for name in ("test", "val", "train") if name in source.parts)
        part_name, part = ("all" if name == "train" else name), source.parts[name]
    part = relabelled(part, source, predictor.classes)
    return RunEvaluation(predictor.evaluate(part, watch), source.title, part_name, predictor.classes, source.task)


def _held_out(source: Source, facts: RunFacts) -> tuple[str, Part]:
    source = source.with_validation(share=facts.config.val_share, seed=facts.config.seed)
    name: PartName = "test" if "test" in source.parts else "val"
    if source.parts[name].digest() != facts.data.digests.get(name):
        title = printable(source.title)
        raise DataError(
            f"the images in {title} are not those that the run held out: files or classes have changed since. "
            f"Measure all of them with --data {title}, knowing that some may have trained the model."
        )
    return name, source.parts[name]


def relabelled(part: Part, source: Source, names: tuple[str, ...]) -> Part:
    """Targets in the order of the run's names. A label that the data do not know is one that no image has.

    Raises DataError for a class or label that the run does not know, and when numbers are not those of the run.
    """
    word = {"classification": "class", "multilabel": "label", "regression": "number"}[source.task]
    unknown = [name for name in source.classes if name not in names]
    if unknown:
        raise DataError(
            f"{printable(source.title)} has the {word} '{printable(unknown[0])}', which the run does not know. "
            f"Its {OUTPUTS[source.task]}: {', '.join(printable(name) for name in names)}."
        )
    missing = [name for name in names if name not in source.classes]
    if missing and source.task == "regression":
        raise DataError(f"{source.title} has no column '{printable(missing[0])}', which the run predicts.")
    positions = np.array([names.index(name) for name in source.classes])
    if source.task == "classification":
        return Part(part.images, positions[part.targets])
    targets = np.zeros((len(part), len(names)), dtype=np.float32)
    targets[:, positions] = part.targets
    return Part(part.images, targets)
