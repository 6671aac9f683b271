"""What a fine-tune is asked to do: frozen, checked at birth, JSON and back. The only truth about a run's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from os import PathLike, fspath
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from zoo_core.errors import UsageError, brief, did_you_mean, printable
from zoo_core.spec_checks import MAX_SIZE
from zoo_core.specs import TASKS, Task

Augment = Literal["auto", "none", "flip", "crop-flip"]
Optimizer = Literal["adamw", "sgd"]
CacheType = Literal["float16", "bfloat16", "float32"]
BadImages = Literal["fail", "skip"]
Precision = Literal["auto", "float32", "bfloat16"]
Compile = Literal["auto", "on", "off"]
TaskChoice = Task | Literal["auto"]

IN_MEMORY = "in-memory data"
"""The title, in a run's config, of data that a program handed over: nobody else can open them by it."""


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """The settings of one fine-tune. Raises UsageError when one of them makes no sense.

    `weights` is a tag of the backbone's, "none" (from scratch), "default", or a path; `data` a folder, a CSV file, tar
    shards ("wds:..."), a data set of the Hub ("hf:...") or the name of a bundled one, or, from a program, a torch
    Dataset or a list of (image, target), or a dict of these by part ("train", "val", "test"); `task` "auto" is what the data
    say; `strategy`, `augment`, `epochs` and `base_lr` are decided by zoo_core.training.defaults where they are "auto"
    or None; `size` is the side of the square image in pixels, None for what the weights expect; `lr` the highest rate
    of the head ("auto": found by a range test); the conv base's stages get the share `base_lr` of it, times what the
    plan says; `mixup` and `cutmix` are the alphas by which images are mixed (0: not), `l2_sp` how strongly the base is
    pulled back to its start, `ema` the decay of averaged weights that are measured and kept instead of the last ones
    (0: none); `views` is how many variants of each training image there are where the frozen front's features are kept
    (None: chosen from the plan; 0: nothing is kept, every epoch sees fresh ones), `cache_gb` how many gigabytes may be
    kept on disk and `cache_dtype` how; `patience` is after how many epochs without a better one a phase of the plan
    ends; `val_share` is what is held out when the data brings no validation part; `bad_images` what is done about
    images that cannot be read: "fail" names them, "skip" leaves them out; `device` is "auto", "cpu", "cuda" or
    "cuda:N"; `batch_size` how many images a step sees ("auto": the fastest that the device's memory holds) and
    `micro_batch` how many of them go through the network together; `gradient_checkpointing` computes what the stages
    give a second time rather than keep it; `precision` is that of the forward pass ("auto": bfloat16 on a GPU that
    supports it, float32 on a CPU) and `compile` whether the learning part is compiled ("auto": where that saves more
    time than it takes); `save_every` the seconds between two checkpoints; `out` the run directory, None for a new one
    under ./runs.
    """

    backbone: str
    head: str = "linear"
    strategy: str = "auto"
    weights: str = "default"
    data: Any = "fashion-small"
    task: TaskChoice = "auto"
    epochs: int | None = None
    batch_size: int | Literal["auto"] = 32
    lr: float | Literal["auto"] = 1e-2
    base_lr: float | None = None
    weight_decay: float = 0.01
    warmup: float = 0.1
    optimizer: Optimizer = "adamw"
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    l2_sp: float = 0.0
    ema: float = 0.0
    augment: Augment = "auto"
    views: int | None = None
    cache_gb: float = 10.0
    cache_dtype: CacheType = "float16"
    patience: int | None = None
    size: int | None = None
    val_share: float = 0.2
    bad_images: BadImages = "fail"
    seed: int = 0
    device: str = "auto"
    workers: int | None = None
    micro_batch: int | None = None
    gradient_checkpointing: bool = False
    precision: Precision = "auto"
    compile: Compile = "auto"
    save_every: float = 30.0
    out: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", _checked_data(self.data))
        if self.batch_size != "auto":
            _at_least("batch_size", self.batch_size, 1)
        _at_least("seed", self.seed, 0)
        if self.seed >= 2**32:
            raise UsageError(f"seed must be below 2**32, got {brief(self.seed)}")
        if self.size is not None:
            _within("size", self.size, 1, MAX_SIZE)
        for name in ("epochs", "workers", "micro_batch", "patience"):
            value = getattr(self, name)
            if value is not None:
                _at_least(name, value, 1)
        if self.views is not None:
            _within("views", self.views, 0, 1000)
        _within("cache_gb", self.cache_gb, 0, 1e6)
        _within("save_every", self.save_every, 0, 1e6)
        if self.lr != "auto":
            _within("lr", self.lr, 0, 100, open_low=True)
        if self.base_lr is not None:
            _within("base_lr", self.base_lr, 0, 100, open_low=True)
        _within("weight_decay", self.weight_decay, 0, 10)
        _within("warmup", self.warmup, 0, 1)
        _within("label_smoothing", self.label_smoothing, 0, 0.99)
        _within("mixup", self.mixup, 0, 100)
        _within("cutmix", self.cutmix, 0, 100)
        _within("l2_sp", self.l2_sp, 0, 100)
        _within("ema", self.ema, 0, 0.999999)
        _within("val_share", self.val_share, 0.01, 0.9)
        _one_of("optimizer", self.optimizer, ("adamw", "sgd"))
        _one_of("task", self.task, ("auto", *TASKS))
        _one_of("bad_images", self.bad_images, ("fail", "skip"))
        _one_of("augment", self.augment, ("auto", "none", "flip", "crop-flip"))
        _one_of("cache_dtype", self.cache_dtype, get_args(CacheType))
        _one_of("precision", self.precision, ("auto", "float32", "bfloat16"))
        _one_of("compile", self.compile, ("auto", "on", "off"))

    @property
    def images_a_step(self) -> int:
        """The batch size. Raises UsageError while it is "auto": a job knows it."""
        if self.batch_size == "auto":
            raise UsageError("the batch size is 'auto', and nothing has found one yet")
        return self.batch_size

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` gives an equal config again. Data in memory are only named."""
        return asdict(self if isinstance(self.data, str) else replace(self, data=IN_MEMORY))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FinetuneConfig:
        """Read what `to_dict` wrote. Raises UsageError for an unknown setting or a wrong type."""
        known = {field.name for field in fields(cls)}
        for name in data:
            if name not in known:
                raise UsageError(f"a config has no setting '{printable(name[:80])}'.{did_you_mean(name, known)}")
        if "backbone" not in data:
            raise UsageError("a config needs the setting 'backbone'.")
        types_of = {**get_type_hints(cls), "data": str}
        for name, value in data.items():
            _check_type(name, value, types_of[name])
        return cls(**data)


def _checked_data(data: Any) -> Any:
    """The data as given, a path as text. Raises UsageError for a type that cannot hold images."""
    if isinstance(data, PathLike):
        return fspath(data)
    sized = hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, bytes)
    if not (isinstance(data, str | Mapping) or sized):
        raise UsageError(
            f"data cannot be a {type(data).__name__}. Give a path, a data set's name, a torch Dataset with a length, a "
            'list of (image, target), or a dict of these by part ("train", "val", "test").'
        )
    return data


def _check_type(name: str, value: object, kind: Any) -> None:
    """Raise UsageError unless a value from JSON has the type of the setting."""
    if isinstance(value, bool) is not (kind is bool) or not isinstance(value, _plain_types(kind)):
        raise UsageError(f"the setting '{name}' cannot be {brief(value)}.")


def _plain_types(kind: Any) -> tuple[type, ...]:
    """What JSON may hold for a type: an integer will do for a float, a text for a Literal of words."""
    if get_origin(kind) is Literal:
        return (str,)
    if get_origin(kind) in (Union, UnionType):
        return tuple(plain for part in get_args(kind) for plain in _plain_types(part))
    return (int, float) if kind is float else (kind,)


def _at_least(name: str, value: int, low: int) -> None:
    if value < low:
        raise UsageError(f"{name} must be at least {low}, got {brief(value)}")


def _within(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    if not low <= value <= high or (open_low and value == low):  # NaN is not
        bounds = f"above {low}" if open_low else f"at least {low}"
        raise UsageError(f"{name} must be {bounds} and at most {high}, got {brief(value)}")


def _one_of(name: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words:
        meant = did_you_mean(value[:80], words)
        raise UsageError(f"{name} must be one of {', '.join(words)}, got '{printable(value[:80])}'.{meant}")
