"""The facts of a run, as config.json holds them: a checked, versioned shape. Nothing in it is imported or executed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from zoo_core.data.sources import MAX_OUTPUT_NAME, MAX_OUTPUTS
from zoo_core.errors import PluginError, UsageError, ZooError, brief, printable
from zoo_core.freezing.plan import Plan
from zoo_core.model.design import StartFacts
from zoo_core.settings import FinetuneConfig
from zoo_core.specs import TASKS, Preprocessing, Task

FORMAT = "zoo-run"
VERSION = 1
MAX_TEXT = 10_000
LISTS: dict[Task, tuple[str, ...]] = {
    "multilabel": ("positives", "average_precisions", "f1s"),
    "regression": ("rmses", "maes", "r2s"),
}
"""The figures of a result that have one number for each label, or for each number."""
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
DISTRIBUTION = re.compile(r"[A-Za-z0-9]([\w.-]{0,98}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Provided:
    """A backbone, head or strategy as it was chosen, and who provided it."""

    name: str
    distribution: str
    version: str


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The images: their number by part, a digest of each part's names, labels and content, how many were left out
    because they could not be read, and what was found out about them.
    """

    title: str
    images: dict[str, int]
    digests: dict[str, str]
    split: dict[str, str | int | float]
    skipped: int = 0
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything that decides a run's result. `classes` name the outputs: classes, labels or numbers."""

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
    task: Task = "classification"

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
                f"{where} has version {brief(data.get('version'))}, and this zoo reads {VERSION}. Update zoo-core."
            )
        start = data["start"]
        return RunFacts(
            created=_text(data["created"]),
            zoo_core=_text(data["zoo_core"]),
            torch=_text(data["torch"]),
            config=FinetuneConfig.from_dict(_mapping(data["config"])),
            backbone=_provided(data["backbone"]),
            head=_provided(data["head"]),
            strategy=_provided(data["strategy"]),
            start=None if start is None else StartFacts(**_texts(_keys(start, StartFacts))),
            classes=_classes(data["classes"]),
            preprocessing=_preprocessing(_keys(data["preprocessing"], Preprocessing)),
            data=_data(_keys(data["data"], DataFacts)),
            plan=Plan.from_dict(_mapping(data["plan"])).to_dict(),
            task=_task(data.get("task", "classification")),  # runs of zoo 0.1 name none
        )
    except KeyError as error:
        raise ZooError(f"{where} has no {brief(error.args[0])}.") from error
    except (TypeError, ValueError, UsageError, PluginError) as error:
        raise ZooError(f"{where} does not fit the shape of a run's config: {printable(str(error))}") from error


def parse_result(line: Mapping[str, Any], facts: RunFacts, where: str) -> dict[str, Any]:
    """Check the result line of a run's metrics. Raises ZooError that names the file and what does not fit."""
    try:
        figures = _figures(line, len(facts.classes)) if facts.task == "classification" else _lists(line, facts)
        return {
            **line,
            **figures,
            "part": _text(line["part"]),
            "images": _count(line["images"]),
            "best_epoch": _count(line["best_epoch"]),
        }
    except KeyError as error:
        raise ZooError(f"the result in {where} has no {brief(error.args[0])}.") from error
    except (TypeError, ValueError) as error:
        raise ZooError(f"the result in {where} is not one of a run: {printable(str(error))}") from error


def _figures(line: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """The figures of a classification."""
    low, high = _list(line["interval"])
    confusion = [[_count(cell) for cell in _list(row)] for row in _list(line["confusion"])]
    if [len(row) for row in confusion] != [classes] * classes:
        raise TypeError(f"the confusion matrix is not one of {classes} classes")
    return {
        "correct": _count(line["correct"]),
        "accuracy": _number(line["accuracy"]),
        "interval": [_number(low), _number(high)],
        "confusion": confusion,
    }


def _lists(line: Mapping[str, Any], facts: RunFacts) -> dict[str, Any]:
    """The score and the lists with one figure, or none, for each label or number."""
    lists = {name: [None if one is None else _number(one) for one in _list(line[name])] for name in LISTS[facts.task]}
    for name, figures in lists.items():
        if len(figures) != len(facts.classes):
            raise TypeError(f"{name} are not {len(facts.classes)} figures")
    return {"metric": _text(line["metric"]), "score": _number(line["score"]), **lists}


def _task(value: object) -> Task:
    if value not in TASKS:
        raise TypeError(f"zoo has no task {brief(value)}")
    return value


def _preprocessing(value: dict[str, Any]) -> Preprocessing:
    interpolation = _text(value["interpolation"])
    if interpolation not in INTERPOLATIONS:
        raise TypeError(f"zoo has no interpolation {brief(interpolation)}")
    return Preprocessing(
        size=_count(value["size"]),
        crop=_number(value["crop"]),
        interpolation=interpolation,  # type: ignore[arg-type]
        mean=tuple(_number(one) for one in _list(value["mean"])),
        std=tuple(_number(one) for one in _list(value["std"])),
    )


def _data(value: dict[str, Any]) -> DataFacts:
    split = _mapping(value["split"])
    return DataFacts(
        title=_text(value["title"]),
        images={_text(part): _count(count) for part, count in _mapping(value["images"]).items()},
        digests={_text(part): _text(digest) for part, digest in _mapping(value["digests"]).items()},
        split={name: one if isinstance(one, str) else _number(one) for name, one in split.items()},
        skipped=_count(value.get("skipped", 0)),
        findings=tuple(_text(one) for one in _list(value.get("findings", []))),
    )


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{brief(value)} is not an object")
    return dict(value)


def _keys(value: object, kind: type) -> dict[str, Any]:
    mapping = _mapping(value)
    unknown = set(mapping) - {field.name for field in fields(kind)}
    if unknown:
        raise TypeError(f"{brief(sorted(unknown)[0])} is not known")
    return mapping


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{brief(value)} is not a list")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise TypeError(f"{brief(value)} is not a text")
    return value


def _texts(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: None if value is None else _text(value) for key, value in mapping.items()}


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise TypeError(f"{brief(value)} is not a number of things")
    return value


def _number(value: object) -> Any:
    """A finite number, as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise TypeError(f"{brief(value)} is not a number")
    return value


def _provided(value: object) -> Provided:
    """What an error may tell a person to install, so it has to be a name that pip would take."""
    texts = _keys(value, Provided)
    provided = Provided(**{field.name: _text(texts[field.name]) for field in fields(Provided)})
    if not DISTRIBUTION.fullmatch(provided.distribution):
        raise TypeError(f"{brief(provided.distribution)} is not the name of a distribution")
    return provided


def _classes(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_OUTPUTS:
        raise TypeError("classes are not a list of names")
    names = tuple(_text(name) for name in value)
    if any(len(name) > MAX_OUTPUT_NAME for name in names):
        raise TypeError("a class name is too long")
    if len(set(names)) < len(names):
        raise TypeError("two classes have one name")
    return names
