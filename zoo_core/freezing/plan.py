"""A freeze plan: which stages learn, at which share of the learning rate, and for how long.

A plan is data. It can be printed, saved, compared and tested without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from zoo_core.errors import PluginError, brief
from zoo_core.specs import HEAD

MAX_SHARE = 1000  # a stage that learns a thousand times as fast as the head is a mistake


@dataclass(frozen=True)
class Rule:
    """What one stage does in one phase.

    `lr` is its share of the learning rate, 0 when it is frozen; `parameters` says which of its parameters learn
    ("added": those that the strategy added, and no others); `statistics` whether its normalisation layers update their
    running statistics. A frozen stage never does.
    """

    lr: float = 0.0
    parameters: Literal["all", "norm", "bias", "added"] = "all"
    statistics: Literal["update", "frozen"] = "frozen"

    @property
    def trainable(self) -> bool:
        return self.lr > 0

    def __post_init__(self) -> None:
        if not (isinstance(self.lr, int | float) and 0 <= self.lr <= MAX_SHARE):  # NaN is not
            raise PluginError(f"a share of the learning rate must be between 0 and {MAX_SHARE}, got {brief(self.lr)}")
        if self.parameters not in ("all", "norm", "bias", "added") or self.statistics not in ("update", "frozen"):
            raise PluginError(
                "a rule's parameters are all, norm, bias or added, and its statistics are update or frozen"
            )
        if self.lr == 0 and self.statistics == "update":
            raise PluginError("a frozen stage cannot update its normalisation statistics")


FROZEN = Rule()
TRAINABLE = Rule(lr=1.0, statistics="update")


@dataclass(frozen=True)
class Phase:
    """A number of epochs under fixed rules: one rule for each stage, in order, and the last one for the head."""

    epochs: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Plan:
    """Phases over the stages of a conv base and its head."""

    stages: tuple[str, ...]
    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        if not self.phases:
            raise PluginError("a plan needs at least one phase")
        for phase in self.phases:
            if not isinstance(phase.epochs, int) or phase.epochs < 1:
                raise PluginError(f"a phase needs at least one epoch, got {brief(phase.epochs)}")
            if len(phase.rules) != len(self.stages) + 1:
                raise PluginError(f"a phase needs {len(self.stages) + 1} rules, one a stage and one for the head")
            if not any(rule.trainable for rule in phase.rules):
                raise PluginError("nothing learns in this phase")

    @property
    def epochs(self) -> int:
        return sum(phase.epochs for phase in self.phases)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names the rules stand for: the stages, then the head."""
        return (*self.stages, HEAD)

    def rules(self, phase: Phase) -> dict[str, Rule]:
        """The rules of one phase by stage name."""
        return dict(zip(self.parts, phase.rules, strict=True))

    def trainable(self, phase: Phase) -> tuple[str, ...]:
        """The stages (and the head) that learn in a phase."""
        return tuple(name for name, rule in self.rules(phase).items() if rule.trainable)

    def frozen(self, phase: Phase) -> tuple[str, ...]:
        """The stages (and the head) that are frozen in a phase."""
        return tuple(name for name, rule in self.rules(phase).items() if not rule.trainable)

    def frozen_depth(self, phase: Phase) -> int:
        """How many stages at the front of the chain are frozen: a fixed function of the image in this phase."""
        trainable = [position for position, rule in enumerate(phase.rules) if rule.trainable]
        return min(trainable[0], len(self.stages))

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data for JSON."""
        return {"stages": list(self.stages), "phases": [asdict(phase) for phase in self.phases]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Read what `to_dict` wrote. Raises KeyError, TypeError or PluginError for anything else."""
        stages = data["stages"]
        if not isinstance(stages, list) or not all(isinstance(name, str) for name in stages):
            raise TypeError("the stages of a plan are not a list of names")
        phases = [Phase(phase["epochs"], tuple(Rule(**rule) for rule in phase["rules"])) for phase in data["phases"]]
        return cls(tuple(stages), tuple(phases))
