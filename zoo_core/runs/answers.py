"""The answers of a run on the images that it was measured on: `answers.csv`, a row for each image.

The file stays on this machine: a published model has no names of images.

Shapes: N images.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo_core.csv_rows import csv_writer
from zoo_core.data.sources import Part
from zoo_core.errors import ZooError, printable, reason_of
from zoo_core.paths import write_text
from zoo_core.runs.directory import ANSWERS, file_of
from zoo_core.tasks.targets import Targets

COLUMNS = ["image", "class", "answer", "digest"]
COLUMNS_BEFORE = COLUMNS[:3]
"""Those of zoo 0.2 before it wrote digests: images of several shards may have one name."""
MAX_BYTES = 2**30  # as many rows of 200 bytes as a table of images may have


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer on one image, and whether it is the image's class; `digest` of the image's content
    in hexadecimal digits, empty in a file without."""

    image: str
    is_right: bool
    digest: str = ""


def write_answers(directory: Path, part: Part, classes: Sequence[str], answers_N: Targets) -> None:
    """Write the class and the answered class of each image of a part, in its order."""
    text = io.StringIO()
    writer = csv_writer(text)
    writer.writerow(COLUMNS)
    for index, (target, answer) in enumerate(zip(part.targets.tolist(), answers_N.tolist(), strict=True)):
        name, digest = printable(part.images.name(index)), part.images.digest(index).hex()
        writer.writerow([name, classes[target], classes[answer], digest])
    write_text(directory / ANSWERS, text.getvalue())


def read_answers(directory: Path) -> list[Answer] | None:
    """The answers of a run, None where it has none: other tasks, and runs of older versions.

    Raises ZooError for a file that is none of a run.
    """
    path = file_of(directory, ANSWERS)
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES // 2**20} MiB")
        with path.open(encoding="utf-8", newline="") as stream:
            rows = csv.reader(stream, strict=True)
            columns = next(rows, None)
            if columns not in (COLUMNS, COLUMNS_BEFORE):
                raise ValueError(f"its columns are not {', '.join(COLUMNS)}")
            return [_answer(*row) for row in rows]
    except (OSError, ValueError, TypeError, csv.Error) as error:  # TypeError: a row with too few cells, or too many
        raise ZooError(f"{path} cannot be read: {reason_of(error)}. Remove it to go without the answers.") from error


def _answer(image: str, true: str, answer: str, digest: str = "") -> Answer:
    return Answer(image, true == answer, digest)
