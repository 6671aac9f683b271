"""The declaration of a setting: one call at its field, from which all the rest follows.

`lr: float | Auto = setting(0.01, group="Optimisation", help="...", above=0, at_most=100)` gives the
default, the check of a value, the option of the command line with its help and its completion, the
row in docs/settings.md, and the reading of a config file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, replace
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Union, get_args, get_origin, get_type_hints, runtime_checkable

from zoo_core.errors import UsageError, brief, did_you_mean, printable

if TYPE_CHECKING:
    from zoo_core.settings.needs import Need

Auto = Literal["auto"]


@runtime_checkable
class DataInMemory(Protocol):
    """A torch Dataset, or a list of (image, target), or a dict of these by part ("train", "val", "test")."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


@runtime_checkable
class Augmenting(Protocol):
    """A function that changes an image by chance: it gets a PIL image and a `random.Random`."""

    def __call__(self, image: Any, chance: Any, /) -> Any: ...


KINDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    DataInMemory: "a torch Dataset or list of images with targets",
    Augmenting: "a function of an image and a random.Random",
}


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting: the facts of its declaration, and the types and words that its field accepts.

    Words are the members of a Literal; an optional setting accepts None. The other facts are
    described at `setting`.
    """

    default: Any
    group: str
    help: str
    chosen: str
    above: float | None
    at_least: float | None
    at_most: float | None
    option_name: str
    old_options: tuple[str, ...]
    per_machine: bool
    needs: tuple[Need, ...]
    requires: tuple[Need, ...]
    name: str = ""
    types: tuple[type, ...] = ()
    words: tuple[str, ...] = ()
    optional: bool = False

    @property
    def required(self) -> bool:
        """Whether a config must name it."""
        return self.default is MISSING

    @property
    def is_flag(self) -> bool:
        """Whether it is on or off."""
        return self.types == (bool,)

    @property
    def option(self) -> str:
        """Its spelling on the command line, without the dashes: "batch-size"."""
        return self.option_name or self.name.replace("_", "-")

    @property
    def spellings(self) -> set[str]:
        """The names by which a config file may call it."""
        options = {self.option, *self.old_options}
        return {self.name} | options | {option.replace("-", "_") for option in options}

    @property
    def description(self) -> str:
        """Its help, with the rule by which "auto" is decided."""
        rule = self.chosen if "auto" in self.words and not self.optional else ""
        return f"{self.help} auto: {rule}." if rule else self.help

    @property
    def default_text(self) -> str:
        """Its default for people: a value, or the rule by which one is chosen."""
        if self.required:
            return "required"
        if self.default is None:
            return self.chosen
        return ("on" if self.default else "off") if self.is_flag else str(self.default)

    @property
    def accepts(self) -> str:
        """Its values for people: "a number above 0 and at most 100, or auto"."""
        low = f"above {self.above}" if self.above is not None else ""
        low = low or (f"of at least {self.at_least}" if self.at_least is not None else "")
        high = f"at most {self.at_most}" if self.at_most is not None else ""
        bounds = " and ".join(filter(None, (low, high)))
        if not self.types:
            return f"one of {', '.join(self.words)}"
        kind = f"{' or '.join(KINDS[kind] for kind in self.types)} {bounds}".rstrip()
        return f"{kind}, or {', '.join(self.words)}" if self.words else kind

    def parse(self, text: str) -> Any:
        """Read the text of a command line. Raises ValueError that says which values it accepts."""
        value: Any = text
        if text not in self.words and self.types and self.types[0] in (int, float):
            with suppress(ValueError):
                value = self.types[0](text)
        return self.check(value)

    def check(self, value: Any) -> Any:
        """Return a value as plain data. Raises ValueError that says which values it accepts."""
        plain = _plain(value)
        if (plain is None and self.optional) or (isinstance(plain, str) and plain in self.words):
            return plain
        if any(_fits(plain, kind) for kind in self.types) and self._within_bounds(plain):
            return plain
        near = did_you_mean(plain[:80], self.words) if isinstance(plain, str) else ""
        raise ValueError(f"must be {self.accepts}, got {brief(value)}.{near}")

    def _within_bounds(self, value: Any) -> bool:
        """Whether a number lies within the bounds; NaN lies within none."""
        return (
            (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
        )


def setting(
    default: Any = MISSING,
    *,
    group: str,
    help: str,
    chosen: str = "",
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    option: str = "",
    old_options: tuple[str, ...] = (),
    per_machine: bool = False,
    needs: tuple[Need, ...] = (),
    requires: tuple[Need, ...] = (),
) -> Any:
    """Declare a setting at a field of a dataclass; without a default a config must name it.

    `help` is a sentence, `chosen` the rule by which zoo decides a setting that was left at None or
    "auto". Bounds hold for numbers and are inclusive, but for `above`. `option` is the spelling on
    the command line where that is not the field's name, `old_options` are spellings of earlier
    versions. A setting is `per_machine` when it decides when and where a run computes, and not its
    result: a resumed run may have another value. In a run that lacks one of its `needs` it has no
    effect, and zoo says so; without one of those that it `requires` it is refused.
    """
    declared = Setting(
        default=default,
        group=group,
        help=help,
        chosen=chosen,
        above=above,
        at_least=at_least,
        at_most=at_most,
        option_name=option,
        old_options=old_options,
        per_machine=per_machine,
        needs=needs,
        requires=requires,
    )
    return field(default=default, metadata={"setting": declared})


def settings_of(config: type[Any]) -> dict[str, Setting]:
    """The settings of a config class by the names of their fields, in the order of declaration."""
    if config not in _FOUND:
        _FOUND[config] = _settings_of(config)
    return _FOUND[config]


_FOUND: dict[type[Any], dict[str, Setting]] = {}


def _settings_of(config: type[Any]) -> dict[str, Setting]:
    types_of = get_type_hints(config)
    found = {}
    for one in fields(config):
        if "setting" in one.metadata:
            types, words, optional = _parts(types_of[one.name])
            declared = one.metadata["setting"]
            found[one.name] = replace(declared, name=one.name, types=types, words=words, optional=optional)
    return found


def by_field_name(config: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a config file by field, where it may spell a name as the option is or was.

    Raises UsageError for an unknown setting, and for one that is given twice.
    """
    names = {spelling: one.name for one in settings_of(config).values() for spelling in one.spellings}
    values: dict[str, Any] = {}
    for spelling, value in data.items():
        name = names.get(spelling)
        if name is None:
            near = did_you_mean(spelling[:80], names)
            raise UsageError(f"a config has no setting '{printable(spelling[:80])}'.{near}")
        if name in values:
            raise UsageError(f"the config gives the setting '{name}' twice, in two spellings.")
        values[name] = value
    return values


def check_settings(config: Any) -> None:
    """Check every setting of a new config. Raises UsageError that names the first wrong one."""
    for name, declared in settings_of(type(config)).items():
        value = getattr(config, name)
        try:
            plain = declared.check(value)
        except ValueError as error:
            raise UsageError(f"{name} {error}") from None
        if plain is not value:
            object.__setattr__(config, name, plain)  # the config is frozen, and not yet in use


def _parts(kind: Any) -> tuple[tuple[type, ...], tuple[str, ...], bool]:
    """The plain types of an annotation, the words of its Literals, and whether None is allowed."""
    if get_origin(kind) is Literal:
        return (), get_args(kind), False
    if get_origin(kind) in (Union, UnionType):
        parts = [_parts(part) for part in get_args(kind)]
        types = tuple(one for part in parts for one in part[0])
        words = tuple(word for part in parts for word in part[1])
        return types, words, any(part[2] for part in parts)
    return ((), (), True) if kind is NoneType else ((kind,), (), False)


def _plain(value: Any) -> Any:
    """A path as its text and a number of another library as Python's own, so that JSON holds it."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _fits(value: Any, kind: type) -> bool:
    """Whether a plain value has a type; an integer will do for a float, and a bool is no number."""
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bytes)
