"""What a fine-tune is asked to do: frozen, checked at birth, JSON and back. The only truth about a run's settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_type_hints

from zoo_core.errors import UsageError, did_you_mean, printable, short
from zoo_core.specs import MAX_SIZE

Augment = Literal["none", "flip", "crop-flip"]
Optimizer = Literal["adamw", "sgd"]
BadImages = Literal["fail", "skip"]


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """The settings of one fine-tune. Raises UsageError when one of them makes no sense.

    `weights` is a tag of the backbone's, "none" (from scratch), "default", or a path; `data` a folder or the name of
    a data set; `strategy` "auto" is "head-only" for a pretrained base and "full" from scratch; `size` the side of
    the square image in pixels, None for what the weights expect; `lr` is the highest rate of the head; the conv
    base's stages get the share `base_lr` of it (None: 0.1 when pretrained, 0.2 from scratch), times what the plan says;
    `val_share` is what is held out when the data brings no validation part; `bad_images` what is
    done about images that cannot be read: "fail" names them, "skip" leaves them out; `device` is "auto", "cpu", "cuda" or
    "cuda:N"; `out` the run directory, None for a new one under ./runs.
    """

    backbone: str
    head: str = "linear"
    strategy: str = "auto"
    weights: str = "default"
    data: str = "fashion-small"
    epochs: int = 10
    batch_size: int = 32
    lr: float = 5e-3
    base_lr: float | None = None
    weight_decay: float = 0.01
    warmup: float = 0.1
    optimizer: Optimizer = "adamw"
    label_smoothing: float = 0.0
    augment: Augment = "crop-flip"
    size: int | None = None
    val_share: float = 0.2
    bad_images: BadImages = "fail"
    seed: int = 0
    device: str = "auto"
    workers: int | None = None
    out: str | None = None

    def __post_init__(self) -> None:
        _at_least("epochs", self.epochs, 1)
        _at_least("batch_size", self.batch_size, 1)
        _at_least("seed", self.seed, 0)
        if self.seed >= 2**32:
            raise UsageError(f"seed must be below 2**32, got {short(self.seed)}")
        if self.size is not None:
            _within("size", self.size, 1, MAX_SIZE)
        if self.workers is not None:
            _at_least("workers", self.workers, 1)
        _within("lr", self.lr, 0, 100, open_low=True)
        if self.base_lr is not None:
            _within("base_lr", self.base_lr, 0, 100, open_low=True)
        _within("weight_decay", self.weight_decay, 0, 10)
        _within("warmup", self.warmup, 0, 1)
        _within("label_smoothing", self.label_smoothing, 0, 0.99)
        _within("val_share", self.val_share, 0.01, 0.9)
        _one_of("optimizer", self.optimizer, ("adamw", "sgd"))
        _one_of("bad_images", self.bad_images, ("fail", "skip"))
        _one_of("augment", self.augment, ("none", "flip", "crop-flip"))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` gives an equal config again."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FinetuneConfig:
        """Read what `to_dict` wrote. Raises UsageError for an unknown setting or a wrong type."""
        known = {field.name for field in fields(cls)}
        for name in data:
            if name not in known:
                raise UsageError(f"a config has no setting '{printable(name[:80])}'.{did_you_mean(name, known)}")
        if "backbone" not in data:
            raise UsageError("a config needs the setting 'backbone'.")
        types_of = get_type_hints(cls)
        for name, value in data.items():
            _check_type(name, value, types_of[name])
        return cls(**data)


def _check_type(name: str, value: object, kind: Any) -> None:
    allowed: tuple[type, ...] = {
        "epochs": (int,),
        "batch_size": (int,),
        "seed": (int,),
        "size": (int, type(None)),
        "workers": (int, type(None)),
        "base_lr": (int, float, type(None)),
        "out": (str, type(None)),
    }.get(name, (float, int) if kind is float else (str,))
    if not isinstance(value, allowed) or isinstance(value, bool):
        raise UsageError(f"the setting '{name}' cannot be {short(value)}.")


def _at_least(name: str, value: int, low: int) -> None:
    if value < low:
        raise UsageError(f"{name} must be at least {low}, got {short(value)}")


def _within(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    if not low <= value <= high or (open_low and value == low):  # NaN is not
        bounds = f"above {low}" if open_low else f"at least {low}"
        raise UsageError(f"{name} must be {bounds} and at most {high}, got {short(value)}")


def _one_of(name: str, value: str, words: tuple[str, ...]) -> None:
    if value not in words:
        meant = did_you_mean(value[:80], words)
        raise UsageError(f"{name} must be one of {', '.join(words)}, got '{printable(value[:80])}'.{meant}")
