"""Checks of the fields of specs. Each raises PluginError that names the spec and the wrong
value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from zoo_core.errors import PluginError, brief, reason_of

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]*")
REPO_PATTERN = re.compile(r"(?!.*(\.\.|--))[A-Za-z0-9]([\w.-]{0,94}\w)?/\w([\w.-]{0,94}\w)?(?<!\.git)", re.ASCII)
STAGE_PATTERN = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
MAX_NAME = 100
MAX_TEXT = 1000
MAX_CHANNELS = 2**20  # a linear head for two classes on them takes 8 MB
MAX_SIZE = 8192  # a float tensor of one RGB image of this size takes 805 MB
AUGMENT_WORDS = ("auto", "none", "crop-flip")
"""Words of the setting `augment` that name no single operation."""
RESERVED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("backbone", "head", "strategy", "data set", "metric"), ("auto",)),
    "augmentation": AUGMENT_WORDS,
    "tracker": ("auto", "none"),
    "exporter": ("torch",),
}
"""The words that commands take for something else than a spec, by kind: a spec of that name would
not be asked."""
FILE_PATTERN = re.compile(r"(?!.*\.\.)[\w-][\w./-]*\.safetensors", re.ASCII)


_collecting: ContextVar[bool] = ContextVar("collecting", default=False)
_any_fault = False
"""Whether a faulty spec was made in this process: where none was, nobody looks through a thousand
specs for one."""


class Checked:
    """A spec that is checked when it is made: its fields that hold tuples or other specs, then all
    that its method `check` looks at. A list becomes a tuple. Raises PluginError that names the
    wrong value."""

    def __post_init__(self) -> None:
        try:
            own: Any = type(self)
            for name, kind in _kinds_of(own).items():
                value = getattr(self, name)
                if tuple in kind and isinstance(value, list):
                    object.__setattr__(self, name, tuple(value))
                elif not isinstance(value, kind):
                    words = " or ".join("None" if one is NoneType else f"a {one.__name__}" for one in kind)
                    owner = f"{type(self).__name__} '{getattr(self, 'name', '')}'".removesuffix(" ''")
                    raise PluginError(f"{owner}: {name} must be {words}, got {brief(value)}")
            self.check()
        except Exception as error:
            if not _collecting.get():
                raise
            global _any_fault
            _any_fault = True
            object.__setattr__(self, "_fault", reason_of(error))

    def check(self) -> None:
        raise NotImplementedError


@cache
def _kinds_of(spec_type: Any) -> dict[str, tuple[type, ...]]:
    """The types that the fields of a spec may have, of those for tuples and for other specs."""
    found = {}
    for name, hint in get_type_hints(spec_type).items():
        options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        kinds = tuple(get_origin(one) or one for one in options)
        if all(one in (tuple, NoneType) or is_dataclass(one) for one in kinds):
            found[name] = kinds
    return found


@contextmanager
def collecting_faults() -> Iterator[None]:
    """Let faulty specs be made, so that one of them does not cost the others of its plugin;
    `fault_of` tells them."""
    before = _collecting.set(True)
    try:
        yield
    finally:
        _collecting.reset(before)


def fault_of(spec: object) -> str | None:
    """The fault of a spec, or of a spec inside it, that was made under `collecting_faults`."""
    if not _any_fault or not isinstance(spec, Checked):
        return None
    fields: dict[str, Any] = vars(spec)
    parts = [part for value in fields.values() for part in (value if isinstance(value, tuple) else (value,))]
    return fields.get("_fault") or next(filter(None, map(fault_of, parts)), None)


def require(condition: bool, message: str) -> None:
    if not condition:
        raise PluginError(message)


def check_name(kind: str, name: str) -> None:
    require(
        isinstance(name, str) and len(name) <= MAX_NAME and bool(NAME_PATTERN.fullmatch(name)),
        f"the {kind} name {brief(name)} must be lower-case letters, digits, '-' and '_', at most {MAX_NAME}",
    )
    words = RESERVED.get(kind, ())
    meant = f"zoo takes {' and '.join(words)} for words of its own there"
    require(name not in words, f"the {kind} name '{name}' cannot be used: {meant}. Choose another name")


def is_repository(text: str) -> bool:
    """Whether a text reads as the id `owner/name` of a repository of the Hub, by the Hub's own
    rules."""
    return bool(REPO_PATTERN.fullmatch(text))


def check_path(owner: str, path: str) -> None:
    require(
        isinstance(path, str) and bool(re.fullmatch(r"[\w.]+:\w+", path)),
        f"{owner}: {brief(path)} is not an import path like 'package.module:name'",
    )


def check_texts(owner: str, **texts: str | None) -> None:
    """Texts are shown in tables: each is None or at most MAX_TEXT characters long."""
    for field, text in texts.items():
        fits = text is None or (isinstance(text, str) and len(text) <= MAX_TEXT)
        require(fits, f"{owner}: {field} must be a text of at most {MAX_TEXT} characters, got {brief(text)}")


def check_numbers(owner: str, low: float, high: float, **numbers: float | None) -> None:
    for field, number in numbers.items():
        fits = number is None or (isinstance(number, int | float) and low <= number <= high)  # NaN does not
        require(fits, f"{owner}: {field} must be between {low} and {high}, got {brief(number)}")


def check_options(owner: str, options: type, *, reserved: str = "") -> None:
    """Options are a frozen dataclass: they are compared, copied and written as text. None is called
    `reserved`."""
    dataclass = isinstance(options, type) and is_dataclass(options)
    require(
        dataclass, f"{owner}: its options {brief(options)} are no dataclass. Write @dataclass(frozen=True) above it"
    )
    taken = reserved in getattr(options, "__dataclass_fields__", ())
    require(not taken, f"{owner}: zoo gives every such spec the option '{reserved}' itself. Call this one otherwise")


def check_sha256(owner: str, sha256: str | None) -> None:
    known = sha256 is None or bool(re.fullmatch(r"[0-9a-f]{64}", sha256))
    require(known, f"{owner}: {sha256!r} is not a sha256 of 64 hex digits")
