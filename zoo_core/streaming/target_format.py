"""What the texts of samples mean: classes, labels or numbers. One that has none makes its part useless, or is a mistake.

Shapes: N images, K labels or numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zoo_core.data.classes import check_names
from zoo_core.data.sources import MAX_OUTPUTS, PartName, Targets
from zoo_core.errors import DataError
from zoo_core.specs import TaskName
from zoo_core.streaming.index import Row
from zoo_core.tasks import task_named

Rows = Mapping[PartName, Sequence[Row]]
UNLABELLED = ("", "-1")  # what data sets write where the answer is kept secret


@dataclass(frozen=True)
class TargetFormat:
    """How a text is read: as one class, as labels between spaces, or as a number for each name.

    `names` are those of classes or labels, which a text tells by their place; None: a text is a class itself.
    """

    task: TaskName
    names: tuple[str, ...] | None


def read_targets(
    where: str, rows: Rows, target_format: TargetFormat
) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
    """The names of the outputs and the targets of each part; a part other than train without any answer is left out.

    Raises DataError, with the sample, for a text that means nothing.
    """
    told = {name: of_part for name, of_part in rows.items() if name == "train" or _is_labelled(of_part)}
    names, targets = task_named(target_format.task).read_samples(where, told, target_format.names)
    if len(names) > MAX_OUTPUTS:
        raise DataError(f"{where} has {len(names)} classes or labels; zoo takes {MAX_OUTPUTS} at most.")
    check_names(names, where, one="name", many="names")
    return names, targets


def _is_labelled(rows: Sequence[Row]) -> bool:
    return not rows or any(row.text not in UNLABELLED for row in rows)
