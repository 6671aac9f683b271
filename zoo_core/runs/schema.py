"""The facts of a run, as config.json holds them: a checked, versioned shape. Nothing in it is imported or executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from zoo_core.config import FinetuneConfig
from zoo_core.errors import UsageError, ZooError
from zoo_core.specs import Preprocessing

FORMAT = "zoo-run"
VERSION = 1
MAX_CLASSES = 100_000
MAX_CLASS_NAME = 500


@dataclass(frozen=True, kw_only=True)
class Provided:
    """A backbone, head or strategy as it was chosen, and who provided it."""

    name: str
    distribution: str
    version: str


@dataclass(frozen=True, kw_only=True)
class StartFacts:
    """What the run started from; `sha256` and `revision` pin the bytes."""

    tag: str
    source: str
    sha256: str
    revision: str | None = None
    data: str | None = None
    licence: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The images: their number a part, and a digest of each part's names, labels and content."""

    title: str
    images: dict[str, int]
    digests: dict[str, str]
    split: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything that decides a run's result."""

    created: str
    zoo_core: str
    torch: str
    config: FinetuneConfig
    backbone: Provided
    head: Provided
    strategy: Provided
    start: StartFacts | None
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    data: DataFacts
    plan: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, **asdict(self)}


# What may differ when a run goes on: it decides when and where, not what comes out.
FREE = ("created", "config.out", "config.workers", "config.save_every")


def differences(before: RunFacts, now: RunFacts) -> list[str]:
    """What two runs' facts do not share, a line each: the name, what it was and what it is."""
    old, new = _flat(before.to_dict()), _flat(now.to_dict())
    lines = []
    for name in dict.fromkeys([*old, *new]):
        one, other = old.get(name), new.get(name)
        if name not in FREE and one != other:
            lines.append(f"{name} was {one!r:.60} and is {other!r:.60}")
    return lines


def _flat(data: Any, name: str = "") -> dict[str, Any]:
    """Plain data as values under dotted names."""
    if isinstance(data, Mapping):
        return {key: value for part, own in data.items() for key, value in _flat(own, f"{name}.{part}").items()}
    if isinstance(data, list | tuple):
        return {name.removeprefix("."): [_flat(item) if isinstance(item, Mapping) else item for item in data]}
    return {name.removeprefix("."): data}


def parse_facts(data: object, where: str) -> RunFacts:
    """Check plain data against the shape. Raises ZooError that names the file and what does not fit."""
    try:
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ZooError(f"{where} is not the config of a zoo run.")
        if data.get("version") != VERSION:
            raise ZooError(
                f"{where} has version {data.get('version')!r}, and this zoo reads {VERSION}. Update zoo-core."
            )
        start = data["start"]
        preprocessing = _keys(data["preprocessing"], Preprocessing)
        facts = RunFacts(
            created=_text(data["created"]),
            zoo_core=_text(data["zoo_core"]),
            torch=_text(data["torch"]),
            config=FinetuneConfig.from_dict(_mapping(data["config"])),
            backbone=_provided(data["backbone"]),
            head=_provided(data["head"]),
            strategy=_provided(data["strategy"]),
            start=None if start is None else StartFacts(**_texts(_keys(start, StartFacts))),
            classes=_classes(data["classes"]),
            preprocessing=Preprocessing(
                size=_number(preprocessing["size"], int),
                crop=_number(preprocessing["crop"], float),
                interpolation=preprocessing["interpolation"],
                mean=tuple(_number(value, float) for value in preprocessing["mean"]),
                std=tuple(_number(value, float) for value in preprocessing["std"]),
            ),
            data=DataFacts(**_keys(data["data"], DataFacts)),
            plan=_mapping(data["plan"]),
        )
    except KeyError as error:
        raise ZooError(f"{where} has no {error}.") from error
    except (TypeError, ValueError, UsageError) as error:
        raise ZooError(f"{where} does not fit the shape of a run's config: {error}") from error
    if facts.preprocessing.interpolation not in ("nearest", "bilinear", "bicubic"):
        raise ZooError(
            f"{where} names the interpolation {facts.preprocessing.interpolation!r}, which zoo does not have."
        )
    return facts


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r:.80} is not an object")
    return dict(value)


def _keys(value: object, kind: type) -> dict[str, Any]:
    mapping = _mapping(value)
    unknown = set(mapping) - {field.name for field in fields(kind)}
    if unknown:
        raise TypeError(f"{sorted(unknown)[0]!r:.80} is not known")
    return mapping


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is not a text")
    return value


def _texts(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: None if value is None else _text(value) for key, value in mapping.items()}


def _number(value: object, kind: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        raise TypeError(f"{value!r:.80} is not a number")
    return value


def _provided(value: object) -> Provided:
    return Provided(**_texts(_keys(value, Provided)))


def _classes(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_CLASSES:
        raise TypeError("classes are not a list of names")
    names = tuple(_text(name) for name in value)
    if any(len(name) > MAX_CLASS_NAME for name in names):
        raise TypeError("a class name is too long")
    return names
