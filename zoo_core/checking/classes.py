"""Findings about the data as a whole: uneven classes, classes too small to measure, other files."""

from __future__ import annotations

import numpy as np

from zoo_core.checking.report import FEW, IGNORED, IMBALANCE, Kind, Suspect
from zoo_core.data.findings import imbalance
from zoo_core.data.sources import PartName, Source
from zoo_core.errors import printable
from zoo_core.settings import FinetuneConfig
from zoo_core.tasks import task_named
from zoo_core.wording import counted, percent

LEAST_MEASURED = 10
"""With fewer measured images a class's share of right answers has a 95 % interval of more than 50
points where it is a half (Wilson)."""
MEASURED_ON: tuple[PartName, ...] = ("test", "val")


def class_suspects(source: Source) -> dict[Kind, list[Suspect]]:
    """Sentences on classes, each about one of them, and on ignored things."""
    found = {IGNORED: [Suspect(f"{count} {kind}") for kind, count in source.ignored.items()]}
    if task_named(source.task).single_label and "train" in source.parts:
        sentence = imbalance(source.parts["train"], source.classes)
        found[IMBALANCE] = [] if sentence is None else [Suspect(sentence)]
    if task_named(source.task).single_label:
        found[FEW] = _few(source)
    return found


def _few(source: Source) -> list[Suspect]:
    """The classes with fewer than LEAST_MEASURED images to measure on, the smallest first.

    Without a part for that, a fine-tune holds out a share of the training images.
    """
    part = next((name for name in MEASURED_ON if name in source.parts), None)
    share = 1.0 if part else FinetuneConfig.val_share
    labels = source.parts[part or "train"].targets
    counts = np.bincount(labels, minlength=len(source.classes)) * share
    where = f"the {part} part" if part else f"the {percent(share, 0)} that are held out"
    return [
        Suspect(f"'{printable(source.classes[label])}' has {counted(round(counts[label]), 'image')} in {where}")
        for label in np.argsort(counts, kind="stable").tolist()
        if round(counts[label]) < LEAST_MEASURED
    ]
