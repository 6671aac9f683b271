"""One grammar of options for backbones, heads and strategies: `mlp:hidden=512+128,dropout=0.3`,
`last:2`.

Options are the fields of a frozen dataclass. A field may be an int, float, bool, str, a Literal of
words, a tuple of numbers (joined by `+`), or one of several such types (`int | None`). The first
value may stand without its name; it sets the first field.
"""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from zoo_core.errors import PluginError, UsageError, brief, did_you_mean, shown

UPTO = "upto"
"""The option of every backbone that keeps its stages up to one of them."""

O = TypeVar("O")  # an options dataclass  # noqa: E741


@dataclass(frozen=True)
class NoOptions:
    """The options of a spec that has none."""


def split_name(text: str) -> tuple[str, str]:
    """Split `"name:options"` into its two halves; the second is empty when there are no options."""
    name, _, options = text.partition(":")
    return name.strip(), options.strip()


def listed(given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """One text or path, or several, as texts."""
    return [os.fspath(one) for one in ([given] if isinstance(given, str | os.PathLike) else given)]


def split_list(text: str, option: str) -> list[str]:
    """ "linear,mlp:hidden=64,dropout=0.1" as ["linear", "mlp:hidden=64,dropout=0.1"], each once.

    A piece `key=value` without a colon before it goes on with the options of the value before.
    Raises UsageError, which names the `option`, where there is no value.
    """
    values: list[str] = []
    for piece in (part.strip() for part in text.split(",")):
        if values and "=" in piece and ":" not in piece.partition("=")[0]:
            values[-1] += f",{piece}"
        else:
            values.append(piece)
    if "" in values:
        raise UsageError(f"{option} has an empty value in '{shown(text)}'. Separate values by one comma.")
    return list(dict.fromkeys(values))


def parse_options(owner: str, options: type[O], text: str) -> O:
    """Read `text` (`key=value,key=value`) into an `options` dataclass.

    Raises UsageError that names `owner`, the wrong option and the options that exist.
    """
    fields = {field.name: field for field in dataclasses.fields(options)}  # type: ignore[arg-type]
    types_of = typing.get_type_hints(options)
    values: dict[str, Any] = {}
    for position, item in enumerate(part.strip() for part in text.split(",")) if text else ():
        key, separator, raw = (part.strip() for part in item.partition("="))
        if not separator and position == 0 and fields:
            key, raw = next(iter(fields)), item
        elif not separator:
            raise UsageError(f"'{owner}': '{shown(item)}' is not key=value. {describe_options(owner, options)}")
        if key not in fields:
            raise UsageError(
                f"'{owner}' has no option '{shown(key)}'.{did_you_mean(key[:80], fields)} {describe_options(owner, options)}"
            )
        if key in values:
            raise UsageError(f"'{owner}' sets the option '{key}' twice.")
        values[key] = _read(owner, key, types_of[key], raw)
    missing = [name for name, field in fields.items() if name not in values and _is_required(field)]
    if missing:
        raise UsageError(f"'{owner}' needs the option '{missing[0]}'. {describe_options(owner, options)}")
    try:
        return options(**values)
    except ValueError as error:
        raise UsageError(f"'{owner}': {error}.") from error


def format_options(name: str, options: object) -> str:
    """Write a name and its options as text; `parse_options` reads the same back. Defaults are left
    out."""
    fields = dataclasses.fields(options)  # type: ignore[arg-type]
    parts = []
    for position, field in enumerate(fields):
        value = getattr(options, field.name)
        if not _is_required(field) and value == default_of(field):
            continue
        positional = position == 0 and not (isinstance(value, str) and "=" in value)
        parts.append(_write(value) if positional else f"{field.name}={_write(value)}")
    return f"{name}:{','.join(parts)}" if parts else name


def take_option(text: str, key: str) -> tuple[str, str | None]:
    """`"name:options"` without one option, and the value that it had; None where it is not there.

    Raises UsageError for an option that is set twice.
    """
    name, colon, options = text.rpartition(":")
    items = options.split(",") if colon else []
    values = [item.partition("=")[2].strip() for item in items if item.partition("=")[0].strip() == key]
    if not values:
        return text, None
    if len(values) > 1:
        raise UsageError(f"'{shown(name)}' sets the option '{key}' twice.")
    others = ",".join(item for item in items if item.partition("=")[0].strip() != key)
    return f"{name}:{others}" if others else name, values[0]


def with_option(text: str, key: str, value: str) -> str:
    """`"name:options"` with this option, in place of another value of it; `take_option` takes it out
    again."""
    text, _ = take_option(text, key)
    return f"{text}{',' if '=' in text.rpartition(':')[2] else ':'}{key}={value}"


def describe_options(owner: str, options: type) -> str:
    """One line that lists the options with their types and defaults."""
    fields = dataclasses.fields(options)
    if not fields:
        return f"'{owner}' has no options."
    types_of = typing.get_type_hints(options)
    texts = [
        f"{field.name}=<{_type_name(types_of[field.name])}>"
        + ("" if _is_required(field) else f" (default {_write(default_of(field))})")
        for field in fields
    ]
    return f"Options of '{owner}': {', '.join(texts)}."


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The default of an option, also of one that a factory makes; MISSING of a required one."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def is_union(kind: Any) -> bool:
    """Whether a type is one of several: `int | None`, or typing's Optional or Union."""
    return isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union


def _write(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "+".join(str(part).replace("e+", "e") for part in value)  # 1e+16 is 1e16
    return "none" if value is None else str(value)


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return "|".join(str(word) for word in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return f"{typing.get_args(kind)[0].__name__}+..."
    if is_union(kind):
        return "|".join(_type_name(part) for part in typing.get_args(kind))
    return "none" if kind is type(None) else str(kind.__name__)


def _read(owner: str, key: str, kind: Any, raw: str) -> Any:
    try:
        return _convert(kind, raw)
    except TypeError:
        raise PluginError(
            f"'{owner}': its option {key} has the type {brief(kind)}, which no text can give. An option is an int, float, "
            "bool, str, a Literal, or a tuple of numbers."
        ) from None
    except ValueError:
        raise UsageError(f"'{owner}': {key} must be {_type_name(kind)}, got '{shown(raw)}'.") from None


def _convert(kind: Any, raw: str) -> Any:
    if is_union(kind):
        parts = typing.get_args(kind)
        if type(None) in parts and raw.lower() == "none":
            return None
        for part in parts:
            with suppress(ValueError):
                return _convert(part, raw)
        raise ValueError(raw)
    if kind is type(None):
        raise ValueError(raw)
    if typing.get_origin(kind) is typing.Literal:
        words = {str(word): word for word in typing.get_args(kind)}
        if raw not in words:
            raise ValueError(raw)
        return words[raw]
    if typing.get_origin(kind) is tuple:
        return tuple(_convert(typing.get_args(kind)[0], part) for part in raw.split("+"))
    if kind is bool:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if raw.lower() not in words:
            raise ValueError(raw)
        return words[raw.lower()]
    if kind in (int, float, str):
        if kind is str and not raw:
            raise ValueError(raw)
        return kind(raw)
    raise TypeError(f"an option cannot have the type {kind!r}")
