"""The numbers on the axes of charts: they stand inside the picture, and are told apart."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from zoo_core.reporting.charts import confusion_chart, curves, scatter

DIGIT = 6  # pixels, at least


def texts(chart: str) -> list[tuple[float, str, str]]:
    """The place, the anchor and the words of every text of a chart."""
    found = ElementTree.fromstring(chart).iter("text")
    return [(float(one.get("x", 0)), one.get("text-anchor", "start"), one.text or "") for one in found]


def numbers(chart: str) -> list[str]:
    """The numbers beside the vertical axis."""
    return [text for _, anchor, text in texts(chart) if anchor == "end" and re.fullmatch(r"-?[\d.e+-]+", text)]


@pytest.mark.parametrize(
    "true",
    [[34_000.5, 509_000.0], [1_700_000_053.29, 1_700_259_584.0], [-3e-7, 2e-7], [1e18, 1e18], [0.1, 0.7], [5.0, 5.0]],
)
def test_the_numbers_of_an_axis_are_whole_and_different(true: list[float]) -> None:
    """Seen to fail: '.09e+05' of 5.09e+05, outside the picture, and five times '1.7e+09'."""
    drawn = scatter("price", true, true[::-1])
    told = numbers(drawn)
    assert len(told) >= 2
    assert len(set(told)) == len(told)
    assert all(min(true) - 1e12 <= float(text) <= max(true) + 1e12 for text in told)
    width = float(ElementTree.fromstring(drawn).get("viewBox", "").split()[2])
    for x, anchor, text in texts(drawn):
        size = DIGIT * len(text) if re.fullmatch(r"-?[\d.e+-]+", text) else 0
        left = {"start": x, "middle": x - size / 2, "end": x - size}[anchor]
        assert left >= 0, text
        assert left + size <= width, text


def test_the_numbers_of_an_axis_are_round() -> None:
    drawn = scatter("time", [1_700_000_053.29, 1_700_259_584.0], [1_700_000_100.0, 1_700_259_000.0])
    assert numbers(drawn) == ["1700100000", "1700200000"]
    assert "<title>1700000053.29: 1700000100</title>" in drawn


def test_the_curve_of_large_losses_has_different_numbers() -> None:
    told = numbers(curves({"train": [123_456.0, 123_461.0]}, best=1, unit="loss"))
    assert told == ["123456", "123457", "123458", "123459", "123460", "123461"]


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_the_heading_of_a_confusion_matrix_stands_inside_it(count: int) -> None:
    """Seen to fail: "answers, in" of two classes."""
    drawn = confusion_chart([[1] * count] * count, [str(number) for number in range(count)])
    x, _, heading = texts(drawn)[0]
    assert x + DIGIT * len(heading) <= float(ElementTree.fromstring(drawn).get("viewBox", "").split()[2])


def test_long_names_of_classes_are_told_apart() -> None:
    """Seen to fail: "Northern cardinal…" twice."""
    names = ["Northern cardinal (bird), female", "Northern cardinal (bird), male"]
    drawn = confusion_chart([[1, 0], [0, 1]], names)
    assert [text for _, anchor, text in texts(drawn) if anchor == "end"] == ["Northern …, female", "Northern …d), male"]
