"""The recommendation of `zoo advise` against the best of a grid, the static ranking and the default.

    python benchmarks/stamps.py STAMPS
    python benchmarks/advise.py STAMPS PHOTOS [--size 128] [--networks efficientnet_lite0,efficientnet_lite1,efficientnet_lite2]

STAMPS is a folder of classes, of which a fifth is the test part. PHOTOS has the folders train/, val/ (or validation/) and
test/, as github.com/alexeygrigorev/clothing-dataset-small has. It is taken with 20 and with 5 training images of each class,
and whole. The bundled images, 20 a class, are written out as files, with their validation part as test
part. On the small sets the grid has every stage boundary of every network as a frozen base with a head, and every network
with the last stage, the last two, and all stages trained. On the whole PHOTOS it has the frozen bases alone.

Every candidate is trained on the training part and measured on the test part. The regret of a choice is the best of these
test accuracies less its own: the maximum of so many noisy numbers, which is a little too high. Seconds are those of the
processor's cores, to which other work beside adds little. The grid's count the forward pass of each network once, whatever
the number of candidates that read its features. The advice has a cache of its own, and as its budget a twentieth of the
grid's seconds. Tau is Kendall's, between the out-of-fold accuracies of the advice and the test accuracies of the same frozen
candidates; its interval is a bootstrap over the test images.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from defaults import few_of_each_class

import zoo_core
from solved import with_folds
from zoo_core.advising.advice import Advice
from zoo_core.advising.boundaries import compute_boundaries
from zoo_core.advising.networks import networks_named, static_ranking
from zoo_core.advising.sample import open_sample
from zoo_core.advising.session import Session
from zoo_core.builtin import FittedOptions
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.choosing.folder import Folder
from zoo_core.data.arrange import Joined, arranged
from zoo_core.data.bundled import fashion_small
from zoo_core.data.scan import scan_images
from zoo_core.data.sources import Part, Source
from zoo_core.embedding import POOLED
from zoo_core.embedding.embedder import open_embedder
from zoo_core.model.solvers import logreg
from zoo_core.runs.answers import read_answers
from zoo_core.training.opening import open_dataset

STRATEGIES = ("last:1", "last:2", "full")
FROZEN = "head-only"
EPOCHS = 10
SHARE = 20  # of the grid's seconds the advice gets one part in so many
RESAMPLES = 1000
BoolArray = npt.NDArray[np.bool_]
Name = tuple[str, str]
"""A network, and a stage boundary or a strategy."""


@dataclass
class GridResult:
    """Whether each candidate answered each test image rightly, and the seconds of all."""

    right: dict[Name, BoolArray] = field(default_factory=dict)
    seconds: float = 0.0

    def score(self, name: Name) -> float:
        return float(self.right[name].mean())


class Quiet:
    """An advice without a screen."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return (lambda *arguments: zoo_core.NullCallback()) if name == "begin" else (lambda *arguments: None)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the regret of zoo advise.")
    parser.add_argument("stamps", type=Path, help="the folder of classes that stamps.py made, or any other")
    parser.add_argument("photos", type=Path, help="a folder with train/, val/ and test/")
    parser.add_argument("--networks", default="efficientnet_lite0,efficientnet_lite1,efficientnet_lite2")
    parser.add_argument("--size", type=int, help="pixels of the images (default: as each network expects)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        stamps = Path(shutil.copytree(arguments.stamps, folder / arguments.stamps.name))
        photos = Path(shutil.copytree(arguments.photos, folder / arguments.photos.name))
        sets = {
            f"{photos.name}, 5 a class": few_of_each_class(photos, arguments.seed, 5),
            f"{photos.name}, 20 a class": few_of_each_class(photos, arguments.seed),
            stamps.name: with_folds(stamps, arguments.seed)[0],
            "bundled, 20 a class": few_of_each_class(written_out(folder / "bundled"), arguments.seed),
            f"{photos.name}, whole: frozen bases alone": photos,
        }
        header = f"{'':<40}{'best':>7}{'advise':>8}{'static':>8}{'default':>8}{'grid s':>8}{'advise s':>9}"
        print(f"{header}  tau, 95 % interval, candidates")
        rows = [
            measured(title, data, arguments, folder / str(place)) for place, (title, data) in enumerate(sets.items())
        ]
    means = np.mean(rows, axis=0)
    print(f"{'mean regret, points':<40}{'':>7}{means[0]:>8.1f}{means[1]:>8.1f}{means[2]:>8.1f}")


def measured(title: str, data: Path, arguments: argparse.Namespace, folder: Path) -> tuple[float, float, float]:
    """Measure one data set; the regrets of the advice, the static ranking and the default in points."""
    catalog, settings = open_catalog(), {"data": str(data), "size": arguments.size, "seed": arguments.seed}
    names = arguments.networks.split(",")
    tried = () if "whole" in title else STRATEGIES
    with own_cache(folder / "grid-cache"):
        grid = run_grid(names, tried, settings, catalog, folder / "grid")
        default = answers_of(zoo_core.FinetuneConfig(backbone=names[0], out=str(folder / "default"), **settings)).mean()
    budget = grid.seconds / SHARE if tried else 0.0
    with own_cache(folder / "cache"):
        started = time.process_time()
        advice = advised(names, tried, settings, catalog, folder / "advice", budget)
        seconds = time.process_time() - started
    with own_cache(folder / "grid-cache"):
        score = score_of_advice(advice, grid, settings, folder / "advised")
    best = max(grid.right, key=grid.score)
    static = static_ranking(networks_named(names, catalog))[0]
    scores = (score, grid.score((static.name, FROZEN)), float(default))
    regrets = tuple(100 * (grid.score(best) - one) for one in scores)
    cells = "".join(f"{regret:>8.1f}" for regret in regrets)
    tau, low, high = kendall(advice, grid)
    line = f"{title:<40}{100 * grid.score(best):>6.1f}%{cells}{grid.seconds:>8.0f}{seconds:>9.1f}"
    print(f"{line}  {tau:.2f} ({low:.2f} to {high:.2f}), {sum(len(one.probes) for one in advice.case.measured)}")
    chosen, own = advice.recommended, advice.choice.chosen
    print(
        f"    best: {' '.join(best)}; advised: {chosen.backbone} {chosen.strategy} (features of {own.stage})",
        flush=True,
    )
    return regrets[0], regrets[1], regrets[2]


def run_grid(
    names: list[str], strategies: tuple[str, ...], settings: dict[str, Any], catalog: Catalog, folder: Path
) -> GridResult:
    """Train and measure every candidate."""
    grid, started = GridResult(), time.process_time()
    source = scan_images(open_dataset(settings["data"], catalog))
    for name in names:
        config = zoo_core.FinetuneConfig(backbone=name, **settings)
        for stage, right in frozen_candidates(config, source, catalog):
            grid.right[name, stage] = right
        grid.right[name, FROZEN] = right  # of the last boundary
        for strategy in strategies:
            own: dict[str, Any] = {
                "strategy": strategy,
                "head": "logreg",
                "epochs": EPOCHS,
                "views": 1,
                "cache_dtype": "float32",
            }
            out = folder / f"{name}-{strategy.replace(':', '-')}"
            grid.right[name, strategy] = answers_of(
                zoo_core.FinetuneConfig(backbone=name, out=str(out), **settings, **own)
            )
    grid.seconds = time.process_time() - started
    return grid


def frozen_candidates(
    config: zoo_core.FinetuneConfig, source: Source, catalog: Catalog
) -> Iterator[tuple[str, BoolArray]]:
    """Each stage boundary of a network with the answers of a head that was fitted to the training images, as those of
    trainings are."""
    own = arranged(source, config).parts
    train, test = own["train"], own["test"]
    both = Part(Joined((train.images, test.images)), np.concatenate([train.targets, test.targets]))
    targets = torch.from_numpy(both.targets)
    embedder = open_embedder(config.backbone, config, POOLED, catalog)
    boundaries = compute_boundaries(embedder, both, lambda done, total: None)
    for stage, array in boundaries:
        features = torch.from_numpy(array)
        head: Any = logreg(FittedOptions(), in_channels=features.shape[1], num_outputs=len(source.classes))
        head.fit(features[: len(train)], targets[: len(train)], config.seed)
        with torch.inference_mode():
            yield stage, (head.output(features[len(train) :]).argmax(1) == targets[len(train) :]).numpy()
    boundaries.close()


def answers_of(config: zoo_core.FinetuneConfig) -> BoolArray:
    """Train, and say for each test image whether the answer is right."""
    result = zoo_core.finetune(config)
    return np.array([answer.is_right for answer in read_answers(result.directory) or ()])


def advised(
    names: list[str],
    strategies: tuple[str, ...],
    settings: dict[str, Any],
    catalog: Catalog,
    folder: Path,
    budget: float,
) -> Advice:
    """The advice within a budget of seconds."""
    started = time.monotonic()
    sample = open_sample(zoo_core.FinetuneConfig(backbone=names[0], **settings), catalog)
    target = Folder(folder)
    screen: Any = Quiet()
    with target.held():
        session = Session(sample, target, catalog, screen, budget=budget, started=started)
        advice = session.advise(networks_named(names, catalog), (FROZEN, *strategies))
    assert advice is not None
    return advice


def score_of_advice(advice: Advice, grid: GridResult, settings: dict[str, Any], out: Path) -> float:
    """The test accuracy of the recommended training: that of the grid, if it has it, or else of a training now."""
    one, chosen = advice.recommended, advice.choice.chosen
    if one.strategy == FROZEN:
        return grid.score((chosen.backbone, chosen.stage))
    if (one.backbone, one.strategy) in grid.right and one.epochs in (None, EPOCHS):
        return grid.score((one.backbone, one.strategy))
    own: dict[str, Any] = {"strategy": one.strategy, "head": "logreg", "epochs": one.epochs}
    return float(answers_of(zoo_core.FinetuneConfig(backbone=one.backbone, out=str(out), **settings, **own)).mean())


def kendall(advice: Advice, grid: GridResult) -> tuple[float, float, float]:
    """Kendall's tau between out-of-fold and test accuracies of frozen candidates, with its interval."""
    probes = advice.case.probes
    predicted = np.array([one.accuracy for one in probes])
    right = np.array([grid.right[one.backbone, one.stage] for one in probes], dtype=np.float64)
    generator = np.random.default_rng(0)
    resampled = [
        tau_b(predicted, right[:, generator.integers(right.shape[1], size=right.shape[1])].mean(1))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return tau_b(predicted, right.mean(1)), float(low), float(high)


def tau_b(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Kendall's tau-b: concordant less discordant pairs, corrected for ties."""
    signs = [
        (np.sign(first[i] - first[j]), np.sign(second[i] - second[j])) for i, j in combinations(range(len(first)), 2)
    ]
    untied = sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs)
    return float(sum(a * b for a, b in signs) / np.sqrt(untied)) if untied else 0.0


def written_out(root: Path) -> Path:
    """Write the bundled images into folders: the last fifth of the training part for validation, the other part as test."""
    source = fashion_small()
    for name, part in source.parts.items():
        for index, label in enumerate(part.targets.tolist()):
            own = "test" if name == "val" else "val" if index % 5 == 4 else "train"
            place = root / own / source.classes[label].replace("/", "-")
            place.mkdir(parents=True, exist_ok=True)
            part.images.read(index).save(place / f"{index}.png")
    return root


@contextmanager
def own_cache(folder: Path) -> Iterator[None]:
    """A cache folder of this measurement's own."""
    before = os.environ.get("ZOO_CACHE")
    os.environ["ZOO_CACHE"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("ZOO_CACHE")
        if before is not None:
            os.environ["ZOO_CACHE"] = before


if __name__ == "__main__":
    main()
