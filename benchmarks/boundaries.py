"""The choice of a frozen base by `zoo advise`, over many draws, against other rules.

    python benchmarks/stamps.py STAMPS
    python benchmarks/digits.py DIGITS
    python benchmarks/boundaries.py STAMPS PHOTOS DIGITS [--size 96] [--seeds 4]

Candidates are all stage boundaries of the networks. A seed draws some images of each class, of STAMPS four fifths, and
at most 200 others of each class are the test images. Each rule chooses by the drawn images alone, in five folds. A head
is then fitted to all of them, with the penalty that the folds chose, and measured on the test images.

The regret of a choice is the mean test accuracy of the candidate that is best on the mean of all seeds less that of the
chosen one, in points: both are means, so that no maximum of noisy numbers is among them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from defaults import written_out
from torch import Tensor

import zoo_core
from zoo_core.advising.boundaries import compute_boundaries
from zoo_core.advising.frozen_case import FrozenCase, Measured, choose, right
from zoo_core.advising.networks import Network, networks_named
from zoo_core.advising.probe import Probe, probe
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.choosing.statistics import paired
from zoo_core.data.arrange import Joined
from zoo_core.data.scan import scan_images
from zoo_core.data.sources import Part
from zoo_core.embedding import POOLED
from zoo_core.embedding.embedder import open_embedder
from zoo_core.model.solvers import best_decay, solve, to_unit_scale
from zoo_core.training.opening import open_dataset

FOLDS, MOST_TESTED = 5, 200
Rule = Callable[[FrozenCase, npt.NDArray[np.int64]], Probe]


@dataclass(frozen=True)
class Candidates:
    """The features of all images of a data set at every boundary of every network."""

    features: dict[tuple[str, str], npt.NDArray[np.float32]]
    targets: npt.NDArray[np.int64]
    networks: list[Network]


def highest(case: FrozenCase, targets: npt.NDArray[np.int64]) -> Probe:
    """The highest out-of-fold accuracy."""
    return choose(case, targets).best


def published(case: FrozenCase, targets: npt.NDArray[np.int64]) -> Probe:
    """The highest published accuracy of those that McNemar's test does not tell apart from the best, the last boundary
    of it."""
    best = choose(case, targets).best
    tied = [one for one in case.probes if one is best or not paired(right(best, targets), right(one, targets)).differ]
    return max(tied, key=lambda one: (case.of(one.backbone).network.top1 or 0.0, one.depth))


RULES: dict[str, Rule] = {
    "advise": lambda case, targets: choose(case, targets).chosen,
    "accuracy": highest,
    "published": published,
    "static": lambda case, targets: max(case.measured, key=lambda one: one.network.top1 or 0.0).last,
    "default": lambda case, targets: case.measured[0].last,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the choice of a frozen base over many draws.")
    parser.add_argument("stamps", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("digits", type=Path)
    parser.add_argument("--networks", default="efficientnet_lite0,efficientnet_lite1,efficientnet_lite2")
    parser.add_argument("--size", type=int, help="pixels of the images (default each network's own)")
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ.setdefault("ZOO_CACHE", f"{temporary}/cache")
        catalog, names = open_catalog(), arguments.networks.split(",")
        bundled = written_out(Path(temporary) / "bundled")
        print(f"{'':<28}{'best':>7}" + "".join(f"{name:>10}" for name in RULES))
        rows = []
        for data, counts in (
            (arguments.photos, (5, 20)), (arguments.stamps, (0,)), (bundled, (5, 20)), (arguments.digits, (5,))
        ):  # fmt: skip
            candidates = computed(data, names, arguments.size, catalog)
            for count in counts:
                title = f"{data.name}, {count} a class" if count else data.name
                rows.append(regrets(title, candidates, count, arguments.seeds))
    print(f"{'mean':<35}" + "".join(f"{value:>10.2f}" for value in np.mean(rows, axis=0)))


def computed(data: Path, names: Sequence[str], size: int | None, catalog: Catalog) -> Candidates:
    """Compute the features of a data set, all parts together."""
    source = scan_images(open_dataset(str(data), catalog))
    images = Joined(tuple(part.images for part in source.parts.values()))
    targets = np.concatenate([part.targets for part in source.parts.values()])
    features: dict[tuple[str, str], npt.NDArray[np.float32]] = {}
    for name in names:
        config = zoo_core.FinetuneConfig(backbone=name, data=str(data), size=size)
        boundaries = compute_boundaries(
            open_embedder(name, config, POOLED, catalog), Part(images, targets), lambda done, total: None
        )
        features |= {(name, stage): np.array(array) for stage, array in boundaries}
        boundaries.close()
    return Candidates(features, targets, networks_named(names, catalog))


def regrets(title: str, candidates: Candidates, count: int, seeds: int) -> list[float]:
    """Draw, choose and measure; print and return the mean regret of each rule."""
    scores: list[dict[tuple[str, str], float]] = []
    chosen: dict[str, list[tuple[str, str]]] = {name: [] for name in RULES}
    for seed in range(seeds):
        drawn, tested, folds = draw(candidates.targets, count, np.random.default_rng(seed))
        case, tests = measured(candidates, drawn, tested, folds)
        scores.append(tests)
        for name, rule in RULES.items():
            one = rule(case, candidates.targets[drawn])
            chosen[name].append((one.backbone, one.stage))
    means = {name: float(np.mean([tests[name] for tests in scores])) for name in scores[0]}
    best = max(means.values())
    found = [float(np.mean([100 * (best - means[place]) for place in places])) for places in chosen.values()]
    print(f"{title:<28}{100 * best:>6.1f}%" + "".join(f"{value:>10.2f}" for value in found), flush=True)
    return found


def draw(
    targets: npt.NDArray[np.int64], count: int, generator: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Images of each class to choose by, others to test with, and the folds of the former."""
    drawn: list[int] = []
    tested: list[int] = []
    for label in np.unique(targets):
        own = generator.permutation(np.flatnonzero(targets == label))
        most = count or -(-len(own) * 4 // 5)
        drawn += own[:most].tolist()
        tested += own[most : most + MOST_TESTED].tolist()
    labels = targets[drawn]
    folds = np.zeros(len(drawn), dtype=np.int64)
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels == label))
        folds[own] = (np.arange(len(own)) + generator.integers(FOLDS)) % FOLDS
    return np.array(drawn), np.array(tested), folds


def measured(
    candidates: Candidates,
    drawn: npt.NDArray[np.int64],
    tested: npt.NDArray[np.int64],
    folds: npt.NDArray[np.int64],
) -> tuple[FrozenCase, dict[tuple[str, str], float]]:
    """The frozen case of the drawn images, and the accuracy of each candidate on the test images."""
    targets, classes = candidates.targets, int(candidates.targets.max()) + 1
    tests, networks = {}, []
    for network in candidates.networks:
        own = [(stage, array) for (name, stage), array in candidates.features.items() if name == network.name]
        probes = []
        for depth, (stage, array) in enumerate(own, 1):
            found = probe(
                array[drawn],
                targets[drawn],
                folds,
                classes,
                backbone=network.name,
                stage=stage,
                depth=depth,
                is_last=depth == len(own),
            )
            probes.append(found)
            answers = answered(array[drawn], targets[drawn], array[tested], classes)
            tests[network.name, stage] = float((answers == targets[tested]).mean())
        networks.append(Measured(network, tuple(probes), 0.0, 0))
    return FrozenCase(tuple(networks)), tests


def answered(
    features: npt.NDArray[np.float32], targets: npt.NDArray[np.int64], tested: npt.NDArray[np.float32], classes: int
) -> npt.NDArray[np.int64]:
    """The classes that the head `logreg` answers, fitted to some features, for others."""
    scaled, mean, scale = to_unit_scale(torch.from_numpy(features).double())
    labels = torch.from_numpy(targets)
    left, values, axes = torch.linalg.svd(scaled, full_matrices=False)  # the optimum is the same along them
    along = left * values
    weight, bias = solve(along, labels, classes, best_decay(along, labels, classes, 0))
    outputs: Tensor = ((torch.from_numpy(tested).double() - mean) / scale) @ axes.T @ weight.T + bias
    answers: npt.NDArray[np.int64] = outputs.argmax(1).numpy()
    return answers


if __name__ == "__main__":
    main()
