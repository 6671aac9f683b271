"""Networks, probes, samples and trials that are written down, for the tests of decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo_core.advising.advice import Advice, advise, asked_for
from zoo_core.advising.frozen_case import FrozenCase, Measured, choose
from zoo_core.advising.networks import Network
from zoo_core.advising.probe import Probe
from zoo_core.advising.rungs import Cost, Rungs
from zoo_core.advising.sample import Sample
from zoo_core.advising.strategies import Trial, Tuning
from zoo_core.settings import FinetuneConfig

TARGETS = np.zeros(200, dtype=np.int64)
COSTS = {"head-only": Cost(1, 0, has_epochs=False), "last:1": Cost(1, 1), "full": Cost(1, 10)}


def probe_of(backbone: str, wrong: range, *, depth: int = 2, is_last: bool = True, loss: float = 0.5) -> Probe:
    """A probe that answers all of 200 images rightly but those of a range."""
    answers = tuple(int(place in wrong) for place in range(200))
    return Probe(
        backbone=backbone,
        stage=f"stage{depth}",
        depth=depth,
        is_last=is_last,
        features=8,
        answers=answers,
        accuracy=1 - len(wrong) / 200,
        interval=(0.0, 1.0),
        loss=loss,
        logme=0.0,
        h_score=0.0,
        sfda=0.0,
        seconds=0.1,
    )


def measured(network: Network, *probes: Probe) -> Measured:
    return Measured(network, probes, 0.01, 1000)


class Images:
    """200 images of one class."""

    targets = TARGETS
    groups = None

    def __len__(self) -> int:
        return len(TARGETS)

    def digest(self) -> str:
        return "digest"


class Classes:
    """A data set of two classes."""

    classes = ("a", "b")


def sample_of(available: int = 200, **settings: Any) -> Sample:
    """A sample of 200 images of so many."""
    config = FinetuneConfig(**{"backbone": "lenet5", "data": "photos", "fold": "1/5", **settings})
    source: Any = Classes()
    part: Any = Images()
    return Sample(source, config, part, np.arange(200) % 5, available)


def trial(strategy: str, wrong: int, *, folds: int = 1, epochs: int | None = 10) -> Trial:
    """A strategy that answers 40 images of each fold, the first `wrong` ones of them wrongly."""
    right = {(f"{fold}/{image}", ""): image >= wrong for fold in range(folds) for image in range(40)}
    return Trial(strategy=strategy, epochs=epochs, folds=folds, right=right)


def advice_of(networks: Sequence[Network], trials: Sequence[Trial] = (), **sample: Any) -> Advice:
    """The advice where every network answers nearly the same, and the first is chosen."""
    probes = [probe_of(one.name, range(20 + place)) for place, one in enumerate(networks)]
    case = FrozenCase(tuple(measured(one, probe) for one, probe in zip(networks, probes, strict=True)))
    choice = replace(choose(case, TARGETS), chosen=probes[0])
    tuning = Tuning(tuple(trials), COSTS, Rungs(tuple(COSTS), (5, 10), 60))
    looked_at = sample_of(**sample)
    return advise(
        case,
        choice,
        tuning,
        looked_at,
        Path("runs/advise"),
        asked=asked_for(looked_at, networks, []),
        budget=600,
        seconds=60,
    )
