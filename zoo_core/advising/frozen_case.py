"""The frozen case: every network up to every stage boundary, with a head on its features, and the
choice among them.

Shapes: N images.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from zoo_core.advising.boundaries import compute_boundaries
from zoo_core.advising.networks import Network
from zoo_core.advising.probe import Probe, probe
from zoo_core.advising.sample import Sample
from zoo_core.attribution import naming_plugins
from zoo_core.catalog import Catalog
from zoo_core.choosing.cells import Failure
from zoo_core.choosing.statistics import BoolArray, standard_error
from zoo_core.embedding import POOLED
from zoo_core.embedding.embedder import Embedder, open_embedder
from zoo_core.errors import UsageError, ZooError, reason_of, signal_of
from zoo_core.frozen.caching import cache_budget
from zoo_core.frozen.split import SplitPoint
from zoo_core.json_index import read_index, write_index
from zoo_core.model.adapt import make_plan
from zoo_core.model.assemble import count_parameters
from zoo_core.tasks.metrics import Counts
from zoo_core.training.defaults import FEW_EPOCHS

VERSION = 4
"""Grows when probes get other numbers from the same features: those written before are not read."""
FROZEN = "frozen"
"""The folder of the probes in that of an advice."""


class Watching(Protocol):
    """Follows the networks; the command line shows them."""

    def begin_network(self, number: int, count: int, network: Network) -> None:
        """Network `number` of so many, counted from 1, is measured now."""

    def on_features(self, done: int, total: int) -> None:
        """So many of its images have gone through it."""

    def on_heads(self, done: int, total: int) -> None:
        """So many of its boundaries have got their head."""

    def end_network(self, network: Network, outcome: Measured | Failure) -> None:
        """It is measured, or has failed."""

    def message(self, text: str) -> None:
        """A person should know this."""


@dataclass(frozen=True)
class Measured:
    """A network with the probes of its stage boundaries, the first stage first."""

    network: Network
    probes: tuple[Probe, ...]
    seconds_per_image: float
    """Of its forward pass on this machine; 0 where its features were cached before."""
    parameters: int
    """Of the backbone."""

    @property
    def last(self) -> Probe:
        return self.probes[-1]

    @property
    def best(self) -> Probe:
        """The probe with the lowest cross-entropy."""
        return min(self.probes, key=lambda one: one.loss)


@dataclass(frozen=True)
class FrozenCase:
    """The networks that were measured, those that failed, and the signal that stopped it, if one
    did."""

    measured: tuple[Measured, ...]
    failures: tuple[Failure, ...] = ()
    stopped_by: int | None = None

    @property
    def probes(self) -> tuple[Probe, ...]:
        return tuple(one for own in self.measured for one in own.probes)

    def of(self, name: str) -> Measured:
        return next(one for one in self.measured if one.network.name == name)


@dataclass(frozen=True)
class Choice:
    """The choice of the frozen case."""

    chosen: Probe
    best: Probe
    """The probe with the highest accuracy."""
    near: tuple[Probe, ...]
    """Those within one standard error of its accuracy, that with the lowest cross-entropy first."""


def measure_networks(
    networks: Sequence[Network],
    sample: Sample,
    strategies: Sequence[str],
    folder: Path,
    catalog: Catalog,
    watching: Watching,
) -> FrozenCase:
    """Measure every network in turn, until all are or Ctrl-C comes. Those that `folder` has from
    before are not measured again."""
    measured: list[Measured] = []
    failures: list[Failure] = []
    for number, network in enumerate(networks, 1):
        watching.begin_network(number, len(networks), network)
        try:
            with naming_plugins():
                outcome: Measured | Failure = _measure(
                    network, sample, strategies, folder, catalog, watching, 1 / (2 * len(networks))
                )
        except KeyboardInterrupt as stop:
            return FrozenCase(tuple(measured), tuple(failures), stopped_by=signal_of(stop))
        except BrokenPipeError:  # the reader of our output has gone
            raise
        except Exception as error:  # of this network alone: the others go on
            outcome = Failure(network.name, folder, str(error) if isinstance(error, ZooError) else reason_of(error))
        watching.end_network(network, outcome)
        if isinstance(outcome, Measured):
            measured.append(outcome)
        else:
            failures.append(outcome)
    return FrozenCase(tuple(measured), tuple(failures))


def choose(case: FrozenCase, targets_N: npt.NDArray[np.int64], groups_N: Counts | None = None) -> Choice:
    """Choose a network and a boundary of it.

    The out-of-fold accuracy decides. Within one standard error of the highest (the rule of one
    standard error: Breiman et al., Classification and Regression Trees, 1984) the cross-entropy of
    the same answers does: it counts how sure an answer is, and tells more from few images. Where
    that is the same, too, the published ImageNet accuracy counts, and then the lower cost. As a
    stronger prior (Renggli et al., Which model to transfer?, CVPR 2022) it mostly made the choice
    worse: see benchmarks/README.md.
    """
    best = max(case.probes, key=lambda one: (one.accuracy, -one.loss))
    right_N = right(best, targets_N)
    pairs = [(one, right(one, targets_N)) for one in case.probes]
    near = [
        one
        for one, other_N in pairs
        if one is best or right_N.mean() - other_N.mean() <= standard_error(right_N, other_N, groups_N)
    ]

    def rank(one: Probe) -> tuple[float, float, float, int]:
        network = case.of(one.backbone).network
        return one.loss, -(network.top1 or 0.0), network.cost, -one.depth

    ordered = sorted(near, key=rank)
    return Choice(ordered[0], best, tuple(ordered))


def right(one: Probe, targets_N: npt.NDArray[np.int64]) -> BoolArray:
    """Whether each image (N) was answered rightly."""
    right_N: BoolArray = np.asarray(one.answers) == targets_N
    return right_N


def similarity(measured: Measured) -> float:
    """The share of the mistakes of the network's first half that its last stage removes.

    Early stages see what all photographs share, late ones what the weights' own images showed
    (Yosinski et al., How transferable are features in deep neural networks?, NeurIPS 2014). So a
    large share says that these images resemble those; near 0, or below it, that they do not. 1
    where there are no mistakes to remove.
    """
    half = [one for one in measured.probes if one.depth <= max(1, measured.last.depth // 2) and not one.is_last]
    mistakes = 1 - max((one.accuracy for one in half), default=measured.last.accuracy)
    return (measured.last.accuracy - 1 + mistakes) / mistakes if mistakes else 1.0


def _measure(
    network: Network,
    sample: Sample,
    strategies: Sequence[str],
    folder: Path,
    catalog: Catalog,
    watching: Watching,
    share: float,
) -> Measured:
    config = replace(sample.config, backbone=network.name, weights=network.weights)
    embedder = open_embedder(network.name, config, POOLED, catalog)
    target = folder / FROZEN / f"{network.name.replace(':', '-')}.json"
    key = [VERSION, embedder.keys[embedder.split].name, *sample.key, config.seed, network.name]
    before = read_index(target, key, lambda data: _parsed(network, data))
    if before is not None:
        return before
    boundaries = compute_boundaries(
        embedder,
        sample.part,
        watching.on_features,
        maps=_maps(embedder, strategies, catalog),
        room=int(share * cache_budget(config.cache_gb)),
        message=watching.message,
    )
    probes, targets_N = [], np.asarray(sample.part.targets, dtype=np.int64)
    try:
        count = len(boundaries.stages)
        for depth, (stage, features_NF) in enumerate(boundaries, 1):
            watching.on_heads(depth - 1, count)
            probes.append(
                probe(
                    features_NF,
                    targets_N,
                    sample.fold_N,
                    sample.classes,
                    sample.groups_N,
                    backbone=network.name,
                    stage=stage,
                    depth=depth,
                    is_last=depth == count,
                )
            )
        watching.on_heads(count, count)
    finally:
        boundaries.close()
    seconds = boundaries.seconds / boundaries.num_computed if boundaries.num_computed else 0.0
    parameters = count_parameters(embedder.model.backbone)
    found = {"seconds_per_image": seconds, "parameters": parameters, "probes": [asdict(one) for one in probes]}
    write_index(target, key, found)
    return Measured(network, tuple(probes), seconds, parameters)


def _parsed(network: Network, data: dict[str, Any]) -> Measured:
    probes = [
        Probe(**{**one, "answers": tuple(one["answers"]), "interval": tuple(one["interval"])}) for one in data["probes"]
    ]
    return Measured(network, tuple(probes), float(data["seconds_per_image"]), int(data["parameters"]))


def _maps(embedder: Embedder, strategies: Iterable[str], catalog: Catalog) -> set[SplitPoint]:
    """The places from which strategies train a part of the network on."""
    stages, found = embedder.backbone.spec.stages, set()
    for name in strategies:
        try:
            plan = make_plan(catalog.strategy(name), stages, FEW_EPOCHS)
        except UsageError:  # asks for more stages than there are: it fails later, with its reason
            continue
        found |= {SplitPoint(depth) for phase in plan.phases if 0 < (depth := plan.frozen_depth(phase)) < len(stages)}
    return found
