"""The advice: the situation of a data set, the recommended training, and the doubts left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo_core.advising.frozen_case import Choice, FrozenCase, Measured, similarity
from zoo_core.advising.networks import Network, static_ranking
from zoo_core.advising.recommending import (
    Doubt,
    Recommendation,
    common_settings,
    network_doubt,
    recommend,
    strategy_doubt,
)
from zoo_core.advising.rungs import seconds_needed
from zoo_core.advising.sample import Sample
from zoo_core.advising.strategies import Tuning
from zoo_core.data.places import absolute_place
from zoo_core.training.defaults import PARAMETERS_PER_IMAGE

SIMILAR = 0.5
"""Images are called similar where the last stage removes at least half of the mistakes of the first
half. A convention: the number itself is shown."""


@dataclass(frozen=True)
class Situation:
    """The data set among the four quadrants of transfer learning: its size, and its similarity to
    the images of the weights."""

    images_per_class: float
    many: float
    """The images a class from which `zoo finetune` trains everything: one image for every 100
    parameters of the network."""
    similarity: float

    @property
    def is_large(self) -> bool:
        return self.images_per_class >= self.many

    @property
    def is_similar(self) -> bool:
        return self.similarity >= SIMILAR

    @property
    def rule(self) -> str:
        """The rule of thumb of the quadrant."""
        if self.is_large:
            return "fine-tune everything" if self.is_similar else "fine-tune everything, or train from scratch"
        return "train a head alone" if self.is_similar else "train a head on earlier features, or the last stages too"


@dataclass(frozen=True, kw_only=True)
class Advice:
    """An advice, ready to be shown."""

    directory: Path
    asked: Mapping[str, Any]
    """See `asked_for`."""
    sample: Sample
    case: FrozenCase
    choice: Choice
    static: tuple[Network, ...]
    """The networks by their published ImageNet accuracy."""
    situation: Situation
    tuning: Tuning
    recommended: Recommendation
    doubts: tuple[Doubt, ...]
    budget: float
    budget_needed: float | None
    """The budget, in seconds, with which all strategies are tried; None where they were."""
    seconds: float
    stopped_by: int | None

    @property
    def network(self) -> Measured:
        return self.case.of(self.choice.chosen.backbone)

    @property
    def epoch_seconds(self) -> Mapping[str, float]:
        """The seconds of an epoch under each strategy."""
        return {name: cost.epoch for name, cost in self.tuning.costs.items() if cost.has_epochs}


def advise(
    case: FrozenCase,
    choice: Choice,
    tuning: Tuning,
    sample: Sample,
    directory: Path,
    *,
    asked: Mapping[str, Any],
    budget: float,
    seconds: float,
    stopped_by: int | None = None,
) -> Advice:
    """Put the advice together. `seconds` are those that it took so far."""
    network = case.of(choice.chosen.backbone)
    recommended = recommend(network, choice, tuning, sample)
    doubts = [
        network_doubt(case, choice, recommended, tuning, sample),
        strategy_doubt(network, choice, recommended, tuning, sample),
    ]
    left_out = tuning.left_out
    spent = seconds - sum(tuning.costs[one.strategy].seconds(one.epochs or 1) for one in tuning.trials)
    return Advice(
        directory=directory,
        asked=asked,
        sample=sample,
        case=case,
        choice=choice,
        static=tuple(static_ranking([one.network for one in case.measured])),
        situation=situation(network, sample),
        tuning=tuning,
        recommended=recommended,
        doubts=tuple(one for one in doubts if one is not None),
        budget=budget,
        budget_needed=max(0.0, spent) + seconds_needed(tuning.costs, tuple(tuning.costs)) if left_out else None,
        seconds=seconds,
        stopped_by=stopped_by,
    )


def asked_for(sample: Sample, networks: Sequence[Network], strategies: Sequence[str]) -> dict[str, Any]:
    """The choices of an advice, as plain data: those of another advice have other answers."""
    return {
        "settings": {**common_settings(sample), "data": absolute_place(sample.config.data_text)},
        "backbones": [one.name for one in networks],
        "strategies": list(strategies),
    }


def situation(network: Measured, sample: Sample) -> Situation:
    """The place of a data set among the quadrants, as a network sees it."""
    return Situation(
        images_per_class=sample.images_per_class,
        many=network.parameters / PARAMETERS_PER_IMAGE / sample.classes,
        similarity=similarity(network),
    )
