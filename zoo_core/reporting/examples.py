"""The images that a report shows: the worst answers, the least sure right ones, and those of
confused classes.

Shapes: N images, K outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo_core.errors import printable
from zoo_core.reporting.gather import Measured
from zoo_core.wording import cell_text
from zoo_core.wording import percent as spaced


def percent(share: float) -> str:
    """A share in whole percent that no line ends in."""
    return spaced(share, 0).replace(" ", "\u00a0")


MOST_WRONG, MOST_UNSURE, MOST_PAIRS, OF_A_PAIR = 24, 12, 6, 4
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Example:
    """An image (by its index in the part), the output whose heat map is drawn, and its words."""

    index: int
    output: int
    true: str
    answer: str


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes, of which the images of one are answered with the other."""

    true: str
    answer: str
    count: int
    of: int
    examples: tuple[int, ...]


def worst(measured: Measured) -> tuple[list[Example], int]:
    """The wrong answers, the surest first, or of numbers those that are farthest off; and the number
    of images that are answered wrongly."""
    if measured.task.single_label:
        wrong_N = np.flatnonzero(_answers(measured) != measured.part.targets)
        order = wrong_N[np.argsort(-measured.values_NK[wrong_N].max(1), kind="stable")]
        return [_of_class(measured, index) for index in order[:MOST_WRONG].tolist()], len(order)
    far_NK = np.abs(measured.values_NK - measured.part.targets)
    if measured.task.answers_with_all:
        far_NK = far_NK / np.maximum(measured.part.targets.std(0), 1e-12)
    else:
        far_NK = np.where(_wrong_labels(measured), far_NK, 0)
    order = np.flatnonzero(far_NK.any(1))
    order = order[np.argsort(-far_NK[order].max(1), kind="stable")]
    found = [_of_outputs(measured, index, int(far_NK[index].argmax())) for index in order[:MOST_WRONG].tolist()]
    return found, len(order)


def least_sure(measured: Measured) -> list[Example]:
    """The right answers with the lowest probabilities."""
    if not measured.task.single_label:
        return []
    right_N = np.flatnonzero(_answers(measured) == measured.part.targets)
    order = right_N[np.argsort(measured.values_NK[right_N].max(1), kind="stable")]
    return [_of_class(measured, index) for index in order[:MOST_UNSURE].tolist()]


def confused_pairs(measured: Measured) -> list[ConfusedPair]:
    """The most frequent wrong answers, by classes, with some of their images."""
    if not measured.task.single_label:
        return []
    targets_N, answers_N = measured.part.targets, _answers(measured)
    wrong_N = np.flatnonzero(answers_N != targets_N)
    pairs, counts = np.unique(np.stack([targets_N[wrong_N], answers_N[wrong_N]], 1), axis=0, return_counts=True)
    found, names = [], measured.facts.classes
    for place in np.argsort(-counts, kind="stable")[:MOST_PAIRS].tolist():
        true, answer = pairs[place].tolist()
        of_pair = wrong_N[(targets_N[wrong_N] == true) & (answers_N[wrong_N] == answer)]
        of = int((targets_N == true).sum())
        found.append(
            ConfusedPair(names[true], names[answer], int(counts[place]), of, tuple(of_pair[:OF_A_PAIR].tolist()))
        )
    return found


def matrix_of(measured: Measured) -> list[list[int]]:
    """The number of images of each class (a row) with each answer (a column)."""
    classes = len(measured.facts.classes)
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (measured.part.targets, _answers(measured)), 1)
    rows: list[list[int]] = counts.tolist()
    return rows


def words_of(measured: Measured, index: int, *, with_name: bool = True) -> tuple[str, bool]:
    """An image's name, target and answer in a line, and whether the answer is right, as all numbers
    are."""
    begin = f"{printable(measured.part.images.name(index))}: " if with_name else ""
    if measured.task.single_label:
        one = _of_class(measured, index)
        return f"{begin}{one.true}, {one.answer}", int(measured.part.targets[index]) == one.output
    true = measured.task.target_text(measured.part.targets[index], measured.facts.classes)
    is_right = measured.task.answers_with_all or not _wrong_labels(measured, index).any()
    return f"{begin}{printable(true)}", bool(is_right)


def _wrong_labels(measured: Measured, index: int | slice = slice(None)) -> npt.NDArray[np.bool_]:
    """Whether each label of these images is answered and not there, or there and missed."""
    wrong: npt.NDArray[np.bool_] = (measured.values_NK[index] > measured.thresholds_K) != (
        measured.part.targets[index] > 0.5
    )
    return wrong


def _of_class(measured: Measured, index: int) -> Example:
    names, values_K = measured.facts.classes, measured.values_NK[index]
    true, answer = int(measured.part.targets[index]), int(values_K.argmax())
    beside = "" if true == answer else f" ({percent(float(values_K[true]))})"
    return Example(
        index,
        answer,
        f"{printable(names[true])}{beside}",
        f"answered {printable(names[answer])} {percent(float(values_K[answer]))}",
    )


def _of_outputs(measured: Measured, index: int, output: int) -> Example:
    name, value = printable(measured.facts.classes[output]), float(measured.values_NK[index, output])
    true = printable(measured.task.target_text(measured.part.targets[index], measured.facts.classes))
    is_missed = not measured.task.answers_with_all and measured.part.targets[index, output] > 0.5
    verb = "missed" if is_missed else "answered"
    return Example(index, output, true, f"{verb} {name} {measured.task.answer_text(value)}")


def _answers(measured: Measured) -> Ints:
    answers_N: Ints = measured.values_NK.argmax(1)
    return answers_N


def evenly(count: int, most: int) -> Sequence[int]:
    """At most `most` of so many indices, from all over them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist() if count else []


def plain(row: dict[str, Any]) -> list[str]:
    """The cells of a table's row as texts."""
    return [printable(cell_text(cell)) for cell in row.values()]
