"""Successive halving of strategies within a budget of seconds: which are tried, and for how long.

Jamieson, Talwalkar: Non-stochastic Best Arm Identification and Hyperparameter Optimization, AISTATS
2016: all candidates train for a few epochs, the better half for twice as many, until one is left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FINAL_EPOCHS = (10, 5)
"""The epochs of the last rung, of which the first that fits is taken: those of a fine-tune that
trains stages by default, or half of them."""


@dataclass(frozen=True)
class Cost:
    """The seconds of a training: once, and for each epoch. Without `has_epochs` there are none
    to choose: its head is solved."""

    once: float
    epoch: float
    has_epochs: bool = True
    has_cache: bool = True
    """Whether it trains on cached features of a frozen prefix."""

    def seconds(self, epochs: int) -> float:
        return self.once + (epochs if self.has_epochs else 1) * self.epoch


@dataclass(frozen=True)
class Rungs:
    """The strategies that are tried, the cheapest first, and the epochs of each rung."""

    strategies: tuple[str, ...] = ()
    epochs: tuple[int, ...] = ()
    seconds: float = 0.0
    """At most, if the most expensive strategies stay in."""


def plan_rungs(costs: Mapping[str, Cost], budget: float) -> Rungs:
    """The rungs with the most strategies that fit into a budget of seconds.

    The most expensive strategies are left out first. Of several strategies one alone would compare
    nothing: without room for two, or for the only one, the rungs are empty.
    """
    cheapest = sorted(costs, key=lambda name: costs[name].seconds(FINAL_EPOCHS[0]))
    fewest = 2 if len(cheapest) > 1 else 1
    for count in range(len(cheapest), fewest - 1, -1):
        for final in FINAL_EPOCHS:
            found = _rungs(cheapest[:count], costs, final)
            if found.seconds <= budget:
                return found
    return Rungs()


def seconds_needed(costs: Mapping[str, Cost], strategies: Sequence[str]) -> float:
    """The least seconds in which all these strategies can be tried."""
    return min(_rungs(strategies, costs, final).seconds for final in FINAL_EPOCHS)


def survivors(scores: Mapping[str, float]) -> tuple[str, ...]:
    """The better half of the strategies, the best first; of equal ones those that come first."""
    ordered = sorted(scores, key=lambda name: -scores[name])
    return tuple(ordered[: math.ceil(len(ordered) / 2)])


def _rungs(strategies: Sequence[str], costs: Mapping[str, Cost], final: int) -> Rungs:
    left, counts = len(strategies), [len(strategies)]
    while left > 1:
        left = math.ceil(left / 2)
        counts.append(left)
    counts = counts[:-1] if len(strategies) > 1 else counts  # with two left the longest trainings decide
    epochs = tuple(max(1, final // 2**place) for place in reversed(range(len(counts))))
    total = 0.0
    for count, rung in zip(counts, epochs, strict=True):
        total += sum(sorted(costs[name].seconds(rung) for name in strategies)[-count:])
    return Rungs(tuple(strategies), epochs, total)
