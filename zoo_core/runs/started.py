"""A training that started from a run, in words: the rows of its head, and whether it forgot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo_core.errors import printable
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named
from zoo_core.wording import counted

MOST_NAMED = 8  # classes in a sentence


def listed(names: Sequence[str]) -> str:
    """The first names of classes, and the number of the others."""
    rest = f" and {counted(len(names) - MOST_NAMED, 'other')}" if len(names) > MOST_NAMED else ""
    return ", ".join(f"'{printable(name)}'" for name in names[:MOST_NAMED]) + rest


def rows_in_words(rows: Mapping[str, Sequence[str]], task: TaskName, run: str) -> str:
    """The classes whose rows a head kept, those that are new, and those that are no longer
    there."""
    outputs = task_named(task).outputs
    told = [f"From {run} the head keeps the rows of {listed(rows['kept'])}"]
    told += [f"new: {listed(rows['new'])}"] if rows["new"] else []
    if rows["gone"]:
        told += [f"no longer there: {listed(rows['gone'])} (images of these {outputs} in the data keep them)"]
    return "; ".join(told) + "."


def forgotten_in_words(found: Mapping[str, Any], task: TaskName) -> str:
    """A sentence on `Forgotten.to_dict`."""
    metric = task_named(task).metric
    if found["reason"] is not None:
        return f"Whether it forgot is not known: {found['reason']}."
    left_out = [f"{found['trained_on']} that this run was trained on"] * bool(found["trained_on"])
    left_out += [f"{found['gone']} of classes that are no longer there"] * bool(found["gone"])
    beside = f", without {' and '.join(left_out)}" if left_out else ""
    return (
        f"On {counted(found['images'], 'image')} that the earlier run held out{beside}: {metric.title} "
        f"{metric.text(found['before'])} before and {metric.text(found['after'])} now."
    )
