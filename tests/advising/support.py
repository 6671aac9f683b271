"""Networks, probes, samples and trials that are written down, for the tests of decisions."""

from __future__ import annotations

from typing import Any

import numpy as np

from zoo_core.advising.frozen_case import Measured
from zoo_core.advising.networks import Network
from zoo_core.advising.probe import Probe
from zoo_core.advising.sample import Sample
from zoo_core.advising.strategies import Trial
from zoo_core.settings import FinetuneConfig

TARGETS = np.zeros(200, dtype=np.int64)


def probe_of(backbone: str, wrong: range, *, depth: int = 2, is_last: bool = True) -> Probe:
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
        loss=0.5,
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
