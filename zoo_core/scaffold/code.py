"""Specs as the Python code that makes them, laid out as formatters do."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

NEWLINE = "\n"
COLUMNS = 100  # the line length in the pyproject.toml of a new plugin
COMMENTS = {
    "build": "imported when a network is first built",
    "stages": "from the image on",
    "channels": "of the features, the last stage's output",
    "stride": "image pixels for each cell of them",
    "min_size": "the smallest side of an image",
    "params": "of the whole network",
}
"""The meaning of fields of a backbone's spec."""


def code_of(value: Any, *, indent: int = 0, before: int = 0) -> str:
    """The code of a spec, a tuple, a text or a number, in a line that begins with `indent`
    blanks and has `before` more characters around it."""
    if is_dataclass(value) and not isinstance(value, type):
        given = [(one.name, getattr(value, one.name)) for one in fields(value) if not _is_default(one, value)]
        lines = [_field(name, part, indent + 4) for name, part in given]
        return "\n".join([f"{type(value).__name__}(", *lines, " " * indent + ")"])
    if isinstance(value, tuple):
        return _tuple(value, indent, before)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:_}" if value >= 10_000 else str(value)
    return repr(value)


def names_in(value: Any) -> list[str]:
    """The names of the classes in a spec's code, in the order of imports."""
    found: set[str] = set()
    if isinstance(value, tuple):
        found = found.union(*(names_in(part) for part in value))
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [getattr(value, one.name) for one in fields(value) if not _is_default(one, value)]
        found = {type(value).__name__}.union(*(names_in(part) for part in parts))
    return sorted(found)


def _field(name: str, value: Any, indent: int) -> str:
    comment = f"  # {COMMENTS[name]}" if name in COMMENTS else ""
    code = code_of(value, indent=indent, before=len(f"{name}=,{comment}"))
    return f"{' ' * indent}{name}={code},{'' if NEWLINE in code else comment}"


def _tuple(value: tuple[Any, ...], indent: int, before: int) -> str:
    parts = [code_of(part, indent=indent + 4) for part in value]
    line = f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    if "\n" not in line and indent + before + len(line) <= COLUMNS:
        return line
    return "\n".join(["(", *(f"{' ' * (indent + 4)}{part}," for part in parts), " " * indent + ")"])


def _is_default(one: Any, value: Any) -> bool:
    return one.default is not MISSING and getattr(value, one.name) == one.default
