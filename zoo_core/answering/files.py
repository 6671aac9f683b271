"""Answers as rows: one JSON object for each image, or one row of a CSV file.

Shapes: K classes, labels or numbers.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_core.csv_rows import csv_writer
from zoo_core.errors import UsageError, printable, shown
from zoo_core.paths import check_new_file, written_whole
from zoo_core.predict import Predictor
from zoo_core.tasks.prediction import Prediction
from zoo_core.tasks.task import Task

KINDS = (".csv", ".jsonl")
JOINED = "|"  # between the labels of an image, as in the CSV files that zoo reads


@dataclass(frozen=True)
class AnswerFormat:
    """The fields of an answer: those of a task, for these outputs."""

    task: Task[Any]
    classes: Sequence[str]
    """The names (K) of the outputs."""
    top: int
    has_values: bool
    """Whether the probability of every class or label stands in each row."""
    has_coverage: bool = False
    """Whether the answers are sets of classes, or numbers with intervals."""

    @classmethod
    def of(cls, predictor: Predictor, *, top: int, has_values: bool, has_coverage: bool = False) -> AnswerFormat:
        task = predictor.objective.task
        has_values = has_values and not task.answers_with_all  # they are the answers
        return cls(task, predictor.classes, min(top, len(predictor.classes)), has_values, has_coverage)

    def to_dict(self, prediction: Prediction) -> dict[str, Any]:
        """The answer for one image as JSON has it."""
        answers = [{self.task.output: name, self.task.answer: value} for name, value in prediction.answers]
        for answer, (low, high) in zip(answers, prediction.intervals, strict=False):  # only numbers have them
            answer |= {"low": low, "high": high}
        fields: dict[str, Any] = {"image": prediction.image, "answers": answers}
        if self.has_values:
            fields["values"] = dict(zip(self.classes, prediction.values, strict=False))  # none without an answer
        return {**fields, "distance": prediction.distance, "hint": prediction.hint, "problem": prediction.problem}

    def columns(self) -> list[str]:
        """The names of the columns of a CSV file."""
        if self.task.single_label and not self.has_coverage:
            named = [(f"{self.task.output}{end}", f"{self.task.answer}{end}") for end in self._ends()]
            middle = [name for pair in named for name in pair]
        elif self.task.answers_with_all:
            ends = ("predicted", "low", "high") if self.has_coverage else ("predicted",)
            middle = [f"{end}_{name}" for name in self.classes for end in ends]
        else:
            middle = [self.task.outputs]
        values = [f"{self.task.answer}_of_{name}" for name in self.classes] if self.has_values else []
        return ["image", *middle, *values, "distance", "hint", "problem"]

    def row(self, prediction: Prediction) -> list[str]:
        """The cells of a row; those of answers that are not there are empty."""
        if self.task.single_label and not self.has_coverage:
            pairs = [*prediction.answers, *[("", None)] * (self.top - len(prediction.answers))]
            middle = [cell for name, value in pairs for cell in (name, _number(value))]
        elif self.task.answers_with_all:
            intervals = prediction.intervals or [()] * len(self.classes)
            triples = zip(self._padded(prediction.values), intervals, strict=True)
            middle = [_number(one) for value, interval in triples for one in (value, *self._ends_of(interval))]
        else:
            middle = [JOINED.join(name for name, _ in prediction.answers)]
        values = [_number(value) for value in self._padded(prediction.values)] if self.has_values else []
        end = [_number(prediction.distance), prediction.hint or "", prediction.problem or ""]
        return [prediction.image, *middle, *values, *end]

    def _ends(self) -> list[str]:
        return ["", *(f"_{rank}" for rank in range(2, self.top + 1))]

    def _ends_of(self, interval: Sequence[float]) -> Sequence[float | None]:
        return (interval or (None, None)) if self.has_coverage else ()

    def _padded(self, values: Sequence[float]) -> Sequence[float | None]:
        return values or [None] * len(self.classes)


def check_target(target: Path) -> None:
    """Raise UsageError unless answers can be written to this file, which is new."""
    if target.suffix.lower() not in KINDS:
        raise UsageError(f"'{shown(target.name)}' does not end in {' or '.join(KINDS)}. Give another --out.")
    check_new_file(target, "--out")
    before = partial_of(target)
    if os.path.lexists(before):
        raise UsageError(
            f"{printable(str(before))} holds the answers of a call that was interrupted, and another interruption would "
            "replace it. Give it another name, remove it, or give another --out."
        )


@contextmanager
def answers_file(target: Path, made: AnswerFormat) -> Iterator[Callable[[Prediction], object]]:
    """Yield a function that writes an answer.

    The file is there, whole, when the block ends well. Where it ends otherwise, such as by Ctrl-C,
    the answers so far stand in a file beside it, `partial_of(target)`.
    """
    with written_whole(target) as temporary:
        try:
            with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                if target.suffix.lower() == ".jsonl":
                    yield lambda prediction: stream.write(json.dumps(made.to_dict(prediction)) + "\n")
                else:
                    writer = csv_writer(stream)
                    writer.writerow(made.columns())
                    yield lambda prediction: writer.writerow(made.row(prediction))
        except BaseException:
            temporary.replace(partial_of(target))
            raise


def partial_of(target: Path) -> Path:
    """The file of the answers until an interruption."""
    return target.with_name(f"{target.stem}.partial{target.suffix}")


def _number(value: float | None) -> str:
    """The digits that give a number back to the bit: nine a float32."""
    if value is None:
        return ""
    with suppress(OverflowError):  # no float32
        if struct.unpack("<f", struct.pack("<f", value))[0] == value:
            return f"{value:.9g}"
    return repr(value)
