"""The facts of a run, as config.json holds them: a checked, versioned shape of plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from zoo_core.data.classes import MAX_OUTPUT_NAME, MAX_OUTPUTS
from zoo_core.data.parts import EarlierSplit
from zoo_core.errors import PluginError, UsageError, ZooError, brief, printable
from zoo_core.freezing.plan import Plan
from zoo_core.json_checks import as_count, as_list, as_mapping, as_number, as_text
from zoo_core.model.design import StartFacts
from zoo_core.settings import RULES_BEFORE, Decision, FinetuneConfig
from zoo_core.specs import TASKS, TaskName
from zoo_core.weights_specs import Preprocessing

FORMAT = "zoo-run"
VERSION = 2
READABLE = (1, 2)
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")
OTHERS = ("data", "metric", "track")
"""The settings whose providers stand in `provided`."""
SHA256 = re.compile(r"[0-9a-f]{64}")
DISTRIBUTION = re.compile(r"[A-Za-z0-9]([\w.-]{0,98}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Provided:
    """A backbone, head, strategy or augmentation as it was chosen, and who provided it."""

    name: str
    distribution: str
    version: str


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The images: the number and a digest of names, labels and content of each part.

    `skipped` counts the unreadable images that were left out, `findings` are notes on the rest, and
    `groups` counts the groups of each part, where images have some.
    """

    title: str
    images: dict[str, int]
    digests: dict[str, str]
    split: dict[str, str | int | float]
    skipped: int = 0
    findings: tuple[str, ...] = ()
    groups: dict[str, int] = field(default_factory=dict)

    @property
    def earlier_split(self) -> EarlierSplit:
        """The split, to be repeated."""
        return EarlierSplit(str(self.split.get("kind")), bool(self.groups))


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything that decides a run's result. `classes` name the outputs: classes, labels or
    numbers."""

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
    task: TaskName = "classification"
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    """The settings that zoo decided, with the reasons; runs of zoo 0.1 have none."""
    views: int | None = None
    """The number of cached views of each training image, 0 without a cache."""
    head_rows: dict[str, tuple[str, ...]] | None = None
    """Of a training that started from a run: the classes whose rows of the head were `kept`, those
    that are `new`, and those of the run that are `gone`."""
    augmentations: tuple[Provided, ...] = ()
    """The operations that follow crop and flip in the augmentation, in their order."""
    balance: str | None = None
    """How uneven classes were balanced, in words."""
    provided: dict[str, tuple[Provided, ...]] = field(default_factory=dict)
    """The providers of other parts, by the setting that names them; earlier runs have none."""
    split_points: tuple[str, ...] | None = None
    """The place in each phase at which features are cached: "layer3", "layer4 pooled" or "none"."""
    threads: int | None = None
    """The threads that computed it on a CPU; their number decides the last bits of sums."""

    @property
    def added_epochs(self) -> tuple[int, ...]:
        """The epochs by which the finished run was trained further, each time."""
        return tuple(phase["epochs"] for phase in self.plan["phases"] if phase.get("restarts"))

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "version": VERSION, **asdict(self)}


def flat(data: Any, name: str = "") -> dict[str, Any]:
    """Plain data as values under dotted names."""
    if isinstance(data, Mapping):
        return {key: value for part, own in data.items() for key, value in flat(own, f"{name}.{part}").items()}
    if isinstance(data, list | tuple):
        return {name.removeprefix("."): [flat(item) if isinstance(item, Mapping) else item for item in data]}
    return {name.removeprefix("."): data}


def parse_facts(data: object, where: str) -> RunFacts:
    """Check plain data against the shape. Raises ZooError that names the file and the misfit."""
    try:
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ZooError(f"{where} is not the config of a zoo run.")
        if data.get("version") not in READABLE:
            raise ZooError(
                f"{where} has version {brief(data.get('version'))}, and this zoo reads up to {VERSION}. Update zoo-core."
            )
        start = data["start"]
        return RunFacts(
            created=as_text(data["created"]),
            zoo_core=as_text(data["zoo_core"]),
            torch=as_text(data["torch"]),
            config=_config(as_mapping(data["config"])),
            backbone=_provided(data["backbone"]),
            head=_provided(data["head"]),
            strategy=_provided(data["strategy"]),
            start=None if start is None else _start(start),
            classes=_classes(data["classes"]),
            preprocessing=_preprocessing(_keys(data["preprocessing"], Preprocessing)),
            data=_data(_keys(data["data"], DataFacts)),
            plan=Plan.from_dict(as_mapping(data["plan"])).to_dict(),
            task=_task(data.get("task", "classification")),  # runs of zoo 0.1 name none
            decisions=_decisions(data.get("decisions", {})),
            views=None if data.get("views") is None else as_count(data["views"]),
            split_points=_split_points(data.get("split_points")),
            threads=None if data.get("threads") is None else as_count(data["threads"]),
            head_rows=_head_rows(data.get("head_rows")),
            augmentations=tuple(map(_provided, as_list(data.get("augmentations", [])))),
            provided=_others(as_mapping(data.get("provided", {}))),
            balance=None if data.get("balance") is None else as_text(data["balance"]),
        )
    except KeyError as error:
        raise ZooError(f"{where} has no {brief(error.args[0])}.") from error
    except (TypeError, ValueError, UsageError, PluginError) as error:
        raise ZooError(f"{where} does not fit the shape of a run's config: {printable(str(error))}") from error


def _config(data: Mapping[str, Any]) -> FinetuneConfig:
    """The config of a run, of version 1 too, which names no rule for the best epoch."""
    return FinetuneConfig.from_dict({**RULES_BEFORE, **data})


def _task(value: object) -> TaskName:
    if value not in TASKS:
        raise TypeError(f"zoo has no task {brief(value)}")
    return value


def _preprocessing(value: dict[str, Any]) -> Preprocessing:
    interpolation = as_text(value["interpolation"])
    if interpolation not in INTERPOLATIONS:
        raise TypeError(f"zoo has no interpolation {brief(interpolation)}")
    return Preprocessing(
        size=as_count(value["size"]),
        crop=as_number(value["crop"]),
        interpolation=interpolation,  # type: ignore[arg-type]
        fit=as_text(value.get("fit", "crop")),  # type: ignore[arg-type]
        mean=tuple(as_number(one) for one in as_list(value["mean"])),
        std=tuple(as_number(one) for one in as_list(value["std"])),
    )


def _data(value: dict[str, Any]) -> DataFacts:
    split = as_mapping(value["split"])
    return DataFacts(
        title=as_text(value["title"]),
        images={as_text(part): as_count(count) for part, count in as_mapping(value["images"]).items()},
        digests={as_text(part): as_text(digest) for part, digest in as_mapping(value["digests"]).items()},
        split={name: one if isinstance(one, str) else as_number(one) for name, one in split.items()},
        skipped=as_count(value.get("skipped", 0)),
        findings=tuple(as_text(one) for one in as_list(value.get("findings", []))),
        groups={as_text(part): as_count(count) for part, count in as_mapping(value.get("groups", {})).items()},
    )


def _decisions(value: object) -> dict[str, Decision]:
    """The settings that zoo decided; those of a later zoo may be others."""
    told = {as_text(name): _keys(one, Decision) for name, one in as_mapping(value).items()}
    return {name: Decision(_value(one["value"]), as_text(one["because"])) for name, one in told.items()}


def _value(value: object) -> Any:
    """The value of a setting: a text or a finite number."""
    return as_text(value) if isinstance(value, str) else as_number(value)


def _head_rows(value: object) -> dict[str, tuple[str, ...]] | None:
    if value is None:
        return None
    mapping = as_mapping(value)
    return {name: tuple(as_text(one) for one in as_list(mapping[name])) for name in ("kept", "new", "gone")}


def _split_points(value: object) -> tuple[str, ...] | None:
    return None if value is None else tuple(as_text(one) for one in as_list(value))


def _keys(value: object, kind: type) -> dict[str, Any]:
    mapping = as_mapping(value)
    unknown = set(mapping) - {field.name for field in fields(kind)}
    if unknown:
        raise TypeError(f"{brief(sorted(unknown)[0])} is not known")
    return mapping


def _start(value: object) -> StartFacts:
    found = _keys(value, StartFacts)
    start = StartFacts(**{key: as_text(one) for key, one in found.items() if one is not None})
    if not SHA256.fullmatch(start.sha256):
        raise TypeError(f"{brief(start.sha256)} is not a sha256")
    return start


def _provided(value: object) -> Provided:
    """A provider. Errors tell people to install it, so its name has to be one that pip takes."""
    texts = _keys(value, Provided)
    provided = Provided(**{field.name: as_text(texts[field.name]) for field in fields(Provided)})
    if not DISTRIBUTION.fullmatch(provided.distribution):
        raise TypeError(f"{brief(provided.distribution)} is not the name of a distribution")
    return provided


def _others(value: dict[str, Any]) -> dict[str, tuple[Provided, ...]]:
    """The providers by setting; those of a later zoo may be others."""
    return {name: tuple(map(_provided, as_list(value[name]))) for name in OTHERS if name in value}


def _classes(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_OUTPUTS:
        raise TypeError("classes are not a list of names")
    names = tuple(as_text(name) for name in value)
    if any(len(name) > MAX_OUTPUT_NAME for name in names):
        raise TypeError("a class name is too long")
    if len(set(names)) < len(names):
        raise TypeError("two classes have one name")
    return names
