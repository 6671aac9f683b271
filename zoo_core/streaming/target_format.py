"""The targets of samples, parsed from their texts: classes, labels or numbers.

Shapes: N images, K labels or numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo_core.data.classes import check_names
from zoo_core.data.sources import PartName, Targets
from zoo_core.specs import TaskName
from zoo_core.streaming.index import IndexEntry
from zoo_core.tasks import task_named

EntriesByPart = Mapping[PartName, Sequence[IndexEntry]]
UNLABELLED = ("", "-1")  # data sets write it where the target is kept secret


@dataclass(frozen=True)
class TargetFormat:
    """The format of a target's text: one class, labels between spaces, or a number for each name."""

    task: TaskName
    names: tuple[str, ...] | None
    """The names of the classes or labels, whose positions the texts hold; None: a text is a class
    name."""


def read_targets(
    where: str, entries: EntriesByPart, target_format: TargetFormat
) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
    """The names of the outputs, and the targets of each part. A held-out part without targets is
    left out.

    Raises DataError that names the sample for a text of another format.
    """
    labelled = {name: of_part for name, of_part in entries.items() if name == "train" or _is_labelled(of_part)}
    names, targets = task_named(target_format.task).read_samples(where, labelled, target_format.names)
    check_names(names, where, one="name", many="names")
    return names, targets


def _is_labelled(entries: Sequence[IndexEntry]) -> bool:
    return not entries or any(entry.text not in UNLABELLED for entry in entries)
