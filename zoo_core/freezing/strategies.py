"""Core's freeze strategies. A strategy's name says which stages are trained; the head always is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from zoo_core.errors import UsageError
from zoo_core.freezing.plan import FROZEN, TRAINABLE, Phase, Plan, Rule
from zoo_core.options import NoOptions

Statistics = Literal["update", "frozen"]
"""Whether normalisation layers of trainable stages update their running statistics."""


@dataclass(frozen=True)
class DepthOptions:
    """`n` trainable stages; each has `decay` times the learning rate of the stage after it."""

    n: int
    decay: float = 1.0
    statistics: Statistics = "update"

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n must be at least 1, got {self.n}")
        _check_decay(self.decay)


@dataclass(frozen=True)
class FullOptions:
    decay: float = 1.0
    statistics: Statistics = "update"

    def __post_init__(self) -> None:
        _check_decay(self.decay)


@dataclass(frozen=True)
class LayerwiseOptions:
    decay: float = 0.7
    statistics: Statistics = "update"

    def __post_init__(self) -> None:
        _check_decay(self.decay)


@dataclass(frozen=True)
class GradualOptions:
    """One more stage becomes trainable every `every` epochs."""

    every: int = 1
    decay: float = 1.0
    statistics: Statistics = "update"

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every must be at least 1, got {self.every}")
        _check_decay(self.decay)


@dataclass(frozen=True)
class ProbeOptions:
    """Only the head is trained for the share `probe` of all epochs."""

    probe: float = 0.5
    decay: float = 1.0
    statistics: Statistics = "update"

    def __post_init__(self) -> None:
        if not 0 < self.probe < 1:
            raise ValueError(f"probe must be between 0 and 1, got {self.probe}")
        _check_decay(self.decay)


def _check_decay(decay: float) -> None:
    if not 0 < decay <= 1:
        raise ValueError(f"decay must be above 0 and at most 1, got {decay}")


def head_only(options: NoOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """Transfer learning: the backbone is frozen and a new head is trained."""
    return Plan(stages, (_phase(epochs, [FROZEN] * len(stages)),))


def last(options: DepthOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """Fine-tuning: the last n stages and the head are trained."""
    _check_depth("last", options.n, stages)
    return Plan(stages, (_phase(epochs, _last(len(stages), options.n, options.decay, options.statistics)),))


def first(options: DepthOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """Surgical fine-tuning, for images that look different: the first n stages and the head are
    trained."""
    _check_depth("first", options.n, stages)
    trainable = _last(options.n, options.n, options.decay, options.statistics)
    return Plan(stages, (_phase(epochs, trainable + [FROZEN] * (len(stages) - options.n)),))


def full(options: FullOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """Everything is trained."""
    return Plan(stages, (_phase(epochs, _last(len(stages), len(stages), options.decay, options.statistics)),))


def layerwise(options: LayerwiseOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """Everything is trained, at lower rates further from the head."""
    return full(FullOptions(options.decay, options.statistics), stages=stages, epochs=epochs)


def gradual(options: GradualOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """The head is trained first; every few epochs one more stage joins, from the last to the first."""
    phases = []
    left = epochs
    for depth in range(len(stages) + 1):
        length = min(left, options.every) if depth < len(stages) else left
        if length < 1:
            break
        phases.append(_phase(length, _last(len(stages), depth, options.decay, options.statistics)))
        left -= length
    return Plan(stages, tuple(phases))


def lp_ft(options: ProbeOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """The head alone is trained (linear probing), then everything (fine-tuning)."""
    if epochs < 2:
        raise UsageError("'lp-ft' needs at least 2 epochs: one for the head, one for everything.")
    alone = min(max(1, round(options.probe * epochs)), epochs - 1)
    together = _last(len(stages), len(stages), options.decay, options.statistics)
    return Plan(stages, (_phase(alone, [FROZEN] * len(stages)), _phase(epochs - alone, together)))


def norm_only(options: FullOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """The scales and shifts of all normalisation layers are trained, and the head."""
    rules = _last(len(stages), len(stages), options.decay, options.statistics)
    return Plan(stages, (_phase(epochs, [replace(rule, parameters="norm") for rule in rules]),))


def bias_only(options: FullOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """All biases are trained, and the head."""
    rules = _last(len(stages), len(stages), options.decay, options.statistics)
    return Plan(stages, (_phase(epochs, [replace(rule, parameters="bias") for rule in rules]),))


def _phase(epochs: int, rules: list[Rule]) -> Phase:
    return Phase(epochs, (*rules, TRAINABLE))


def _last(stages: int, trainable: int, decay: float, statistics: Statistics) -> list[Rule]:
    """Rules that train the last `trainable` of the stages, each at `decay` times the rate of the
    next.

    A stage whose rate is too small for a float is frozen.
    """
    rates = [decay**distance for distance in reversed(range(trainable))]
    rules = [Rule(lr=rate, statistics=statistics) if rate > 0 else FROZEN for rate in rates]
    return [FROZEN] * (stages - trainable) + rules


def _check_depth(name: str, n: int, stages: tuple[str, ...]) -> None:
    if n > len(stages):
        raise UsageError(
            f"'{name}:{n}' asks for {n} stages and this backbone has {len(stages)}: {', '.join(stages)}. "
            f"Use '{name}:{len(stages)}' or less, or 'full'."
        )
