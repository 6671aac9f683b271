"""The choice of columns in a table of the Hub: one of images, and one or more of targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from zoo_core.errors import UsageError, did_you_mean, printable
from zoo_core.settings import TaskChoice
from zoo_core.streaming.target_format import TargetFormat
from zoo_core.tasks import task_named

Kind = Literal["image", "class", "labels", "text", "whole", "number", "other"]


@dataclass(frozen=True)
class Columns:
    """The column of images, the columns of targets, and the format of the targets."""

    image: str
    labels: tuple[str, ...]
    target_format: TargetFormat

    def text_of(self, row: Mapping[str, Any]) -> str:
        """The target of a row as the text that `read_targets` parses."""
        values = [value for label in self.labels for value in _listed(row[label])]
        return " ".join("" if value is None else str(value) for value in values)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def choose_columns(
    where: str, features: Mapping[str, Any], *, image: str | None, labels: Sequence[str], task: TaskChoice
) -> Columns:
    """Choose the columns that are named, or else the only possible ones.

    `features` are the column types of the package `datasets`. Raises UsageError that lists the
    columns.
    """
    kinds = {name: kind_of(feature) for name, feature in features.items()}
    listed = ", ".join(f"'{printable(name)}' ({type(features[name]).__name__})" for name in list(features)[:30])
    for name in (image, *labels):
        if name is not None and name not in kinds:
            raise UsageError(f"{where} has no column '{printable(name)}'.{did_you_mean(name, kinds)} It has {listed}.")
    images = [name for name, kind in kinds.items() if kind == "image"] if image is None else [image]
    if len(images) != 1 or kinds[images[0]] != "image":
        raise UsageError(f"{where} needs one column of images: name it with image=COLUMN. It has {listed}.")
    chosen = tuple(labels) or _likely(kinds)
    target_format = _target_format(where, features, kinds, chosen, task)
    if target_format is None:
        raise UsageError(
            f"{where}: the target is ambiguous. Name the column of classes, or the columns of numbers, with "
            f"label=COLUMN or label=ONE+OTHER. It has {listed}."
        )
    return Columns(images[0], chosen, target_format)


def kind_of(feature: Any) -> Kind:
    """The use of a column of this type."""
    name = type(feature).__name__
    if name == "Image":
        return "image"
    if name == "ClassLabel":
        return "class"
    if type(getattr(feature, "feature", None)).__name__ == "ClassLabel":
        return "labels"
    dtype = str(getattr(feature, "dtype", "")) if name == "Value" else ""
    if dtype in ("string", "large_string"):
        return "text"
    if dtype.startswith(("int", "uint")):
        return "whole"
    return "number" if dtype.startswith("float") else "other"


def _likely(kinds: Mapping[str, Kind]) -> tuple[str, ...]:
    """The only column of classes; without one the only column of labels, or else of numbers."""
    for wanted in ("class", "labels", "number"):
        found = tuple(name for name, kind in kinds.items() if kind == wanted)
        if found:
            return found if len(found) == 1 else ()
    return ()


def _target_format(
    where: str, features: Mapping[str, Any], kinds: Mapping[str, Kind], labels: tuple[str, ...], task: TaskChoice
) -> TargetFormat | None:
    found = {kinds[name] for name in labels}
    if len(labels) > 1:
        return TargetFormat("regression", labels) if found <= {"whole", "number"} else None
    if found == {"class"}:
        return TargetFormat("classification", tuple(features[labels[0]].names))
    if found == {"labels"}:
        return TargetFormat("multilabel", tuple(features[labels[0]].feature.names))
    if found == {"text"}:
        return TargetFormat("classification", None)
    if found == {"whole"} and task == "auto":
        raise UsageError(
            f"{where}: the column '{printable(labels[0])}' holds whole numbers, which may be classes or amounts. "
            "Give --task classification or --task regression."
        )
    if found == {"whole"} and task != "auto" and task_named(task).single_label:
        return TargetFormat(task, None)
    return TargetFormat("regression", labels) if found in ({"whole"}, {"number"}) else None
