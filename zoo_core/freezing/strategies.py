"""The freeze strategies that core brings. A strategy's name says what learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zoo_core.errors import UsageError
from zoo_core.freezing.plan import FROZEN, LEARNING, Phase, Plan, Rule
from zoo_core.options import NoOptions


@dataclass(frozen=True)
class DepthOptions:
    """`n` stages, and what their normalisation statistics do."""

    n: int
    statistics: Literal["update", "frozen"] = "update"

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n must be at least 1, got {self.n}")


@dataclass(frozen=True)
class FullOptions:
    statistics: Literal["update", "frozen"] = "update"


def head_only(options: NoOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """Transfer learning: the conv base is frozen and a new head learns."""
    return _one_phase(stages, epochs, [FROZEN] * len(stages))


def last(options: DepthOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """Fine-tuning: the last n stages and the head learn."""
    _check_depth("last", options.n, stages)
    learning = Rule(lr=1.0, statistics=options.statistics)
    return _one_phase(stages, epochs, [FROZEN] * (len(stages) - options.n) + [learning] * options.n)


def full(options: FullOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """Everything learns."""
    return _one_phase(stages, epochs, [Rule(lr=1.0, statistics=options.statistics)] * len(stages))


def _one_phase(stages: tuple[str, ...], epochs: int, rules: list[Rule]) -> Plan:
    return Plan(stages=stages, phases=(Phase(epochs=epochs, rules=(*rules, LEARNING)),))


def _check_depth(name: str, n: int, stages: tuple[str, ...]) -> None:
    if n > len(stages):
        raise UsageError(
            f"'{name}:{n}' asks for {n} stages and this backbone has {len(stages)}: {', '.join(stages)}. "
            f"Use '{name}:{len(stages)}' or less, or 'full'."
        )
