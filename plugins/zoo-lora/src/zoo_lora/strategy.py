"""The strategy's options and its plan. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass

from zoo_core import FROZEN, TRAINABLE, Phase, Plan, Rule, UsageError


@dataclass(frozen=True)
class LoraOptions:
    """Adapters of `rank`, scaled by `alpha / rank`, in the `last` stages (None: in all).

    Each stage has `decay` times the learning rate of the stage after it.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    last: int | None = None
    decay: float = 1.0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got {self.rank}")
        if self.alpha <= 0:
            raise ValueError(f"alpha must be above 0, got {self.alpha:g}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout:g}")
        if self.last is not None and self.last < 1:
            raise ValueError(f"last must be at least 1, got {self.last}")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must be above 0 and at most 1, got {self.decay:g}")


def lora(options: LoraOptions, *, stages: tuple[str, ...], epochs: int) -> Plan:
    """The conv base is frozen; adapters in its last stages are trained, and the head."""
    depth = len(stages) if options.last is None else options.last
    if depth > len(stages):
        raise UsageError(
            f"'lora:last={depth}' asks for {depth} stages and this backbone has {len(stages)}: {', '.join(stages)}. "
            f"Use last={len(stages)} or less, or leave it out for all."
        )
    frozen = [FROZEN] * (len(stages) - depth)
    adapted = [Rule(lr=options.decay**distance, parameters="added") for distance in reversed(range(depth))]
    return Plan(stages, (Phase(epochs, (*frozen, *adapted, TRAINABLE)),))
