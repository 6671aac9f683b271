"""Groups of images that belong together, such as those of one patient: no group is in two parts.

A CSV file names them in a column `group`, and `--group-by` reads them in the paths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo_core.data.dealing import Groups, joined
from zoo_core.errors import DataError, UsageError, printable, reason_of, shown
from zoo_core.tasks import task_named
from zoo_core.wording import counted

if TYPE_CHECKING:
    from zoo_core.data.sources import Part, Source
    from zoo_core.specs import TaskName
    from zoo_core.tasks.targets import PartName

COLUMN, PARENT_FOLDER, NONE = "column", "parent-folder", "none"
BY_GROUPS = "Intervals and tests go by whole groups, because images of one group are alike."
ALIKE = (
    "Its interval counts each image for itself. Images of one group are alike, so that the true uncertainty is larger, "
    "with few groups much larger."
)
"""The sentences about results on images in groups, the second for those before zoo 0.3."""
NAMED = 3  # groups, or paths without one, in a message


def with_groups(source: Source, group_by: str) -> Source:
    """The source with the groups that `--group-by` names: those of its CSV file's column, of the
    images' parent folders, of a regular expression, or none.

    Raises UsageError for a wrong expression, and DataError that names images without a group.
    """
    if group_by == COLUMN:
        return source
    if group_by == NONE:
        return replace(source, parts={name: replace(part, groups=None) for name, part in source.parts.items()})
    group_of = _parent if group_by == PARENT_FOLDER else _by_expression(group_by)
    groups = {
        name: [group_of(part.images.name(index)) for index in range(len(part))] for name, part in source.parts.items()
    }
    why = "lies in no folder" if group_by == PARENT_FOLDER else "is not matched, or its group is empty"
    _check_named(source, groups, f"--group-by {shown(group_by)} gives no group for", f", whose path {why}")
    parts = {name: replace(part, groups=tuple(map(str, groups[name]))) for name, part in source.parts.items()}
    return replace(source, parts=parts)


def _check_named(source: Source, groups: Mapping[PartName, Sequence[str | None]], found: str, why: str = "") -> None:
    """Raise DataError where an image has no group, which names the first ones."""
    without = [
        printable(source.parts[name].images.name(index))
        for name, own in groups.items()
        for index, group in enumerate(own)
        if not group
    ]
    if without:
        rest = f" and {len(without) - NAMED:,} more" if len(without) > NAMED else ""
        raise DataError(
            f"{found} {counted(len(without), 'image')}{why}: {', '.join(without[:NAMED])}{rest}. Every image needs a "
            "group; one that is alone has a name of its own."
        )


def _parent(path: str) -> str:
    return PurePath(path).parent.name


def _by_expression(text: str) -> Callable[[str], str | None]:
    """A function from a path to its group: the first group of the expression, or the whole
    match."""
    try:
        expression = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(
            f"--group-by is {COLUMN}, {PARENT_FOLDER}, {NONE} or a regular expression, and '{shown(text)}' is none: "
            f"{reason_of(error)}. Such as '(patient_[0-9]+)', whose first group in the path is the name."
        ) from None

    def group(path: str) -> str | None:
        found = expression.search(path)
        return found and found[1 if expression.groups else 0]

    return group


def groups_of(part: Part, task: TaskName | None) -> Groups:
    """The groups of a part's images, with the classes by which they are dealt; None: without.

    Images of equal content are in one group, so that no training sees a copy of an image that it
    is measured on.
    """
    digests = [part.images.digest(index) for index in range(len(part))]
    return Groups(joined(part.groups or digests, digests), _classes(part, task))


def _classes(part: Part, task: TaskName | None) -> Sequence[Collection[int]]:
    if task is not None and task_named(task).single_label:
        return [(label,) for label in part.targets.tolist()]
    if task is not None and task_named(task).has_temperature:
        return [np.flatnonzero(labels).tolist() for labels in part.targets]
    return [()] * len(part)


def held_out_of(part: Part, task: TaskName, share: float, seed: int) -> set[int]:
    """The images to validate with: whole groups. Raises DataError where every image would be
    needed to train."""
    groups = groups_of(part, task)
    held_G = groups.held_out(share, seed)
    held_out = {index for index, group in enumerate(groups.number_N.tolist()) if held_G[group]}
    if not held_out:
        count = len(set(part.groups or ()))
        found = (
            "all images are of one group" if count == 1 else f"of {count:,} groups each has the only images of a class"
        )
        raise DataError(
            f"no group can be held out to validate with: {found}, for example "
            f"'{printable((part.groups or ('',))[0])}'. Give finer groups with --group-by, add images, or give a val part."
        )
    return held_out


def beside_copies(part: Part, task: TaskName, held_out: set[int]) -> set[int]:
    """The images to validate with, where images of equal content stay together: they go where the
    first of them was drawn to go.

    Returns those that were drawn where nothing would be left to train or to validate with, or a
    class would have no image to train on.
    """
    first: dict[bytes, int] = {}
    together = {index for index in range(len(part)) if first.setdefault(part.images.digest(index), index) in held_out}
    classes_N = _classes(part, task)
    drawn, kept = (
        {label for index, labels in enumerate(classes_N) if index not in held for label in labels}
        for held in (held_out, together)
    )
    return together if 0 < len(together) < len(part) and drawn <= kept else held_out


def group_counts(source: Source) -> dict[str, int]:
    """The number of groups in each part; empty where images have none."""
    return {name: len(set(part.groups)) for name, part in source.parts.items() if part.groups is not None}


def shared_groups(source: Source) -> dict[str, dict[str, int]]:
    """The groups that stand in several parts, with the number of their images in each."""
    counts: dict[str, dict[str, int]] = {}
    for name, part in source.parts.items():
        for group in filter(None, part.groups or ()):  # an image without a group shares none
            of_group = counts.setdefault(group, {})
            of_group[name] = of_group.get(name, 0) + 1
    return {group: parts for group, parts in counts.items() if len(parts) > 1}


def parts_in_words(parts: dict[str, int]) -> str:
    """The images of one group in each part: "5 train and 2 val images"."""
    return " and ".join(f"{count:,} {name}" for name, count in parts.items()) + " images"


def check_groups(source: Source, group_by: str) -> None:
    """Raise DataError where a group is in two parts, so that a score on one of them is too good,
    and where an image has none."""
    groups = {name: part.groups or () for name, part in source.parts.items()}
    _check_named(source, groups, "the column 'group' (--group-by none passes over it) is empty for")
    shared = shared_groups(source)
    if not shared:
        return
    named = "; ".join(
        f"'{printable(group)}' has {parts_in_words(parts)}" for group, parts in list(shared.items())[:NAMED]
    )
    rest = f"; and {len(shared) - NAMED:,} more" if len(shared) > NAMED else ""
    has = "1 group is" if len(shared) == 1 else f"{len(shared):,} groups are"
    meant = (
        "If the parent folders are classes and no groups, leave out --group-by"
        if group_by == PARENT_FOLDER
        else "To train all the same, give --group-by none"
    )
    raise DataError(
        f"{printable(source.title)}: {has} in two parts, so that the score is too good: {named}{rest}. Move each group "
        f"into one part, or give the images without parts, and zoo splits them by group. {meant}."
    )


def groups_in_words(counts: Mapping[str, int], images: Mapping[Any, int], group_by: str) -> str | None:
    """The groups and how they were dealt, in a sentence; None without groups."""
    if not counts:
        return None
    by = {COLUMN: "the column 'group'", PARENT_FOLDER: "parent folder"}.get(group_by, f"'{shown(group_by)}'")
    dealt = ", ".join(f"{count:,} {name} ({counted(images[name], 'image')})" for name, count in counts.items())
    return f"{sum(counts.values()):,} by {by}, none of them in two parts: {dealt}"
