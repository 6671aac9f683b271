"""The settings of a run after every decision: no None and no "auto", and the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from zoo_core.settings.config import FinetuneConfig
from zoo_core.specs import TaskName
from zoo_core.weights_specs import Fit

LrSearch = Literal["", "range test", "trials"]
"""The search by which a training finds its learning rate; none where the rate is given."""
LEFT_OPEN = (
    *("task", "metric", "size", "fit", "views", "micro_batch", "device", "workers", "decoding", "threads"),
    *("out", "patience", "lr"),
)
"""Settings that the config of a run leaves open as its user did: each follows anew from the data,
the weights, the plan, the batch size or the machine; `lr` where it is searched for, and `patience`
where none was asked for; `threads` where no trial found fewer to be faster. All others are filled
in, so that a later zoo with other rules repeats the run."""


@dataclass(frozen=True)
class Decision:
    """The value that zoo chose for a setting, and the reason: a clause after "because"."""

    value: str | int | float
    because: str

    def __str__(self) -> str:
        return f"{self.value}, because {self.because}"


@dataclass(frozen=True, kw_only=True)
class ResolvedSettings(FinetuneConfig):
    """A config in which every setting has its value. Raises ValueError for a None or an "auto".

    Only `out` may be None: the run directory gets its name when it is created. Where there is
    an `lr_search`, `lr` is 1.0, and the rates are shares of the one that it finds when the training
    starts. `split_points` names for each phase the place at which features are cached: "layer3",
    "layer4 pooled" or "none"; with `views` it decides the result.
    """

    lr_search: LrSearch = ""
    split_points: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)

    if TYPE_CHECKING:  # the types of settings that cannot be open here
        task: TaskName
        strategy: str
        epochs: int
        batch_size: int
        lr: float
        size: int
        fit: Fit
        augment: str
        base_lr: float
        patience: int
        views: int
        precision: Literal["float32", "bfloat16"]
        compile: Literal["on", "off"]
        micro_batch: int
        step_layout: Literal["channels-last:8", "contiguous:8", "channels-last:whole", "contiguous:whole"]
        tiles: Literal["all", "frozen", "none"]
        threads: int
        workers: int
        decoding: Literal["threads", "processes"]

    def __post_init__(self) -> None:
        super().__post_init__()
        for one in fields(self):
            if one.name != "out" and getattr(self, one.name) in (None, "auto"):
                raise ValueError(f"the setting '{one.name}' is not decided")

    @property
    def trains_from_tiles(self) -> bool:
        """Whether training computes convolutions that suit from tiles; a compiler makes its own."""
        return self.tiles == "all" and self.compile == "off"

    @property
    def decisions(self) -> dict[str, Decision]:
        """The settings that zoo decided, by name."""
        values: dict[str, Any] = {name: getattr(self, name) for name in self.reasons}
        if self.lr_search:
            values["lr"] = self.lr_search
        return {name: Decision(values[name], reason) for name, reason in self.reasons.items()}

    def as_config(self, asked: FinetuneConfig) -> FinetuneConfig:
        """The config that repeats the run that somebody asked for; see `LEFT_OPEN`."""
        names = [one.name for one in fields(FinetuneConfig)]
        decided = {
            "lr": not self.lr_search,
            "patience": self.best_epoch == "steady",
            "threads": "threads" in self.reasons,
        }
        is_open = set(LEFT_OPEN) - {name for name, is_decided in decided.items() if is_decided}
        return FinetuneConfig(**{name: getattr(asked if name in is_open else self, name) for name in names})
