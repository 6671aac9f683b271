"""Checks of plain data from a JSON file. Each raises TypeError with the value, shortened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zoo_core.errors import brief

MAX_TEXT = 10_000  # characters of one text


def as_mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{brief(value)} is not an object")
    return dict(value)


def as_list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{brief(value)} is not a list")
    return value


def as_text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise TypeError(f"{brief(value)} is not a text")
    return value


def as_count(value: object) -> int:
    """A whole number, 0 or more, that fits 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise TypeError(f"{brief(value)} is not a number of things")
    return value


def as_number(value: object) -> Any:
    """A finite number, int or float as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise TypeError(f"{brief(value)} is not a number")
    return value


def parsed_lists(line: Mapping[str, Any], names: Iterable[str], length: int) -> dict[str, list[float | None]]:
    """The lists in a result that have a figure, or None, for each output.

    Raises KeyError or TypeError.
    """
    lists = {name: [None if one is None else as_number(one) for one in as_list(line[name])] for name in names}
    same_length(lists, length)
    return lists


def same_length(lists: Mapping[str, Sequence[object]], length: int) -> None:
    """Raise TypeError for a list that does not have one figure for each output."""
    for name, figures in lists.items():
        if len(figures) != length:
            raise TypeError(f"{name} are not {length} figures")
