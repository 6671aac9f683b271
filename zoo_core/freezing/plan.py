"""A freeze plan: the trainable stages of each phase, their share of the learning rate, and the number of epochs.

A plan is data. It can be printed, saved, compared and tested without torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from zoo_core.errors import PluginError, brief
from zoo_core.html_tables import html_table
from zoo_core.specs import HEAD
from zoo_core.wording import counted

MAX_RULES = 20_000  # of all phases: up to 2.7 MB of the 8 MiB of a config.json that zoo reads
MAX_SHARE = 1000  # a stage with a thousand times the learning rate is a mistake


@dataclass(frozen=True)
class Rule:
    """The rule for one stage, or the head, in one phase."""

    lr: float = 0.0
    """Share of the learning rate; 0 freezes the stage."""
    parameters: Literal["all", "norm", "bias", "added"] = "all"
    """The trainable parameters: all, those of normalisation layers, biases, or only those that the strategy added."""
    statistics: Literal["update", "frozen"] = "frozen"
    """Whether normalisation layers update their running statistics; those of a frozen stage never do."""

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
LEARNING = TRAINABLE
"""The name of TRAINABLE in zoo 0.1, for plugins written then."""


@dataclass(frozen=True)
class Phase:
    """A number of epochs under fixed rules: one rule for each stage, in order, then one for the head."""

    epochs: int
    rules: tuple[Rule, ...]
    restarts: bool = False
    """Whether the learning rate starts anew here: it warms up and falls to zero in this phase and
    those after it, as far as these do not start it anew."""


@dataclass(frozen=True)
class Plan:
    """Phases over the stages of a backbone and its head."""

    stages: tuple[str, ...]
    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        if not self.phases:
            raise PluginError("a plan needs at least one phase")
        if len(self.phases) * (len(self.stages) + 1) > MAX_RULES:
            raise PluginError(
                f"{len(self.phases):,} phases of {len(self.stages):,} stages are too many: a plan has {MAX_RULES:,} rules at "
                "most. Fewer phases make it smaller, as in gradual:every=N with a larger N"
            )
        for phase in self.phases:
            if not isinstance(phase.epochs, int) or phase.epochs < 1:
                raise PluginError(f"a phase needs at least one epoch, got {brief(phase.epochs)}")
            if not isinstance(phase.restarts, bool):
                raise PluginError(f"a phase starts the learning rate anew or does not, got {brief(phase.restarts)}")
            if len(phase.rules) != len(self.stages) + 1:
                raise PluginError(
                    f"a phase needs {len(self.stages) + 1} rules: one for each stage and one for the head"
                )
            if not any(rule.trainable for rule in phase.rules):
                raise PluginError("no part is trainable in this phase")

    @property
    def epochs(self) -> int:
        return sum(phase.epochs for phase in self.phases)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts that have rules: the stages, then the head."""
        return (*self.stages, HEAD)

    def stretch(self, number: int) -> range:
        """The epochs, from 0, around a phase in which the learning rate rises and falls once."""
        starts = [place for place, phase in enumerate(self.phases) if phase.restarts or not place]
        first = max(place for place in starts if place <= number)
        end = min((place for place in starts if place > number), default=len(self.phases))
        before, within = (
            sum(phase.epochs for phase in phases) for phases in (self.phases[:first], self.phases[first:end])
        )
        return range(before, before + within)

    def extended(self, epochs: int) -> Plan:
        """The plan that goes on for so many epochs as its last phase, with a learning rate that
        starts anew."""
        return replace(self, phases=(*self.phases, replace(self.phases[-1], epochs=epochs, restarts=True)))

    def rules(self, phase: Phase) -> dict[str, Rule]:
        """The rules of one phase by the name of the part."""
        return dict(zip(self.parts, phase.rules, strict=True))

    def trainable(self, phase: Phase) -> tuple[str, ...]:
        """The parts that are trainable in a phase."""
        return tuple(name for name, rule in self.rules(phase).items() if rule.trainable)

    def frozen_depth(self, phase: Phase) -> int:
        """The number of frozen stages at the start of the chain: in this phase a fixed function of the image."""
        trainable = [position for position, rule in enumerate(phase.rules) if rule.trainable]
        return min(trainable[0], len(self.stages))

    def _repr_html_(self) -> str:
        """A row for each part and a column for each phase, for a notebook."""
        columns = [f"phase {number}, {counted(phase.epochs, 'epoch')}" for number, phase in enumerate(self.phases, 1)]
        rows = [
            (
                part,
                *(
                    f"trained, {phase.rules[place].lr:g}" if phase.rules[place].trainable else "frozen"
                    for phase in self.phases
                ),
            )
            for place, part in enumerate(self.parts)
        ]
        note = "A number is a share of the learning rate."
        return html_table("Freeze plan", ("part", *columns), rows, [note])

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data for JSON."""
        phases = [asdict(phase) for phase in self.phases]
        for phase in phases:
            if not phase["restarts"]:  # so that zoo 0.2 reads the plans that it knows
                del phase["restarts"]
        return {"stages": list(self.stages), "phases": phases}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Plan:
        """Read a plan from `to_dict`'s data. Raises KeyError, TypeError or PluginError for anything else."""
        stages = data["stages"]
        if not isinstance(stages, list) or not all(isinstance(name, str) for name in stages):
            raise TypeError("the stages of a plan are not a list of names")
        phases = [
            Phase(phase["epochs"], tuple(Rule(**rule) for rule in phase["rules"]), phase.get("restarts", False))
            for phase in data["phases"]
        ]
        known = {field.name for kind in (cls, Phase) for field in fields(kind)}
        unknown = {key for part in (data, *data["phases"]) for key in part} - known
        if unknown:
            raise TypeError(f"{brief(min(unknown))} is not known")
        return cls(tuple(stages), tuple(phases))
