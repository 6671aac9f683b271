"""What `zoo finetune` gives without a tuning option, against the best of a small search by hand.

    python benchmarks/stamps.py STAMPS
    python benchmarks/defaults.py STAMPS PHOTOS [--backbone efficientnet_lite0] [--seeds 3]

STAMPS is a folder of classes; each image of it is a test image once for each seed. PHOTOS has the folders train/, val/ (or
validation/) and test/: github.com/alexeygrigorev/clothing-dataset-small for the figures of README.md. It is taken whole, and
with 20 training images and 5 validation images of each class, drawn by the seed. The bundled images of clothes, with lenet5
and with the pretrained backbone, have no third part: there both sides are measured on the validation images, by which the
search has chosen.

The search tries every combination of the learning rates, epochs and strategies below, all else being left as it is, and
takes what is right most often on the validation images, as a person would.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import zoo_core
from solved import with_folds
from zoo_core.data.folders import read_folders
from zoo_core.errors import ZooError
from zoo_core.runs.directory import read_facts

RATES = (1e-3, 5e-3, 2e-2)
EPOCHS = (10, 30)


@dataclass(frozen=True)
class Case:
    """A data set, a backbone and the strategies that a person would try there; `data` are those of each seed."""

    title: str
    backbone: str
    data: list[list[str]]
    strategies: tuple[str, ...]


@dataclass
class Counted:
    """Right answers of so many, on validation images and on those that are measured on."""

    chosen_by: int = 0
    right: int = 0
    images: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the defaults with a small search by hand.")
    parser.add_argument("stamps", type=Path, help="the folder of classes that stamps.py made, or any other")
    parser.add_argument("photos", type=Path, help="a folder with train/, val/ and test/")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one, for that folder")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3: 0, 1, 2)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(shutil.copytree(arguments.stamps, Path(folder) / "images"))
        photos = Path(shutil.copytree(arguments.photos, Path(folder) / "photos"))
        seeds = range(arguments.seeds)
        folds = [[str(table) for table in with_folds(images, seed)] for seed in seeds]
        few = [[str(few_of_each_class(photos, seed))] for seed in seeds]
        try:
            for title, backbone, data, strategies in (
                (arguments.photos.name, arguments.backbone, [[str(photos)]] * len(seeds), ("head-only",)),
                (f"{arguments.photos.name}, 20 a class", arguments.backbone, few, ("head-only",)),
                ("bundled", arguments.backbone, [["fashion-small"]] * len(seeds), ("head-only",)),
                ("bundled", "lenet5", [["fashion-small"]] * len(seeds), ("head-only", "full")),
                (arguments.stamps.name, arguments.backbone, folds, ("head-only",)),
            ):
                compare(Case(title, backbone, data, strategies))
        except ZooError as error:
            raise SystemExit(f"error: {error}") from None


def few_of_each_class(photos: Path, seed: int, count: int = 20) -> Path:
    """Write a CSV file that names so many training images of each class, a quarter as many for validation, and all test
    images."""
    source, generator = read_folders(photos), np.random.default_rng(seed)
    table = photos / f"few-{count}-{seed}.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "class", "part"])
        for name, part in source.parts.items():
            most = {"train": count, "val": -(-count // 4), "test": len(part)}[name]
            for label, title in enumerate(source.classes):
                for index in generator.permutation(np.flatnonzero(part.targets == label))[:most]:
                    writer.writerow([Path(part.images.name(int(index))), title, name])
    return table


def compare(case: Case) -> None:
    """Run the defaults and the search on one case and print what came out."""
    print(f"\n{case.title}, {case.backbone}\n{'':<34}{'validation':>12}{'accuracy':>10}{'correct':>12}{'seconds':>9}")
    defaults = measured("defaults", case)
    found = {}
    for strategy, epochs, lr in itertools.product(case.strategies, EPOCHS, RATES):
        title = f"{strategy}, {epochs} epochs, lr {lr:g}"
        found[title] = measured(title, case, strategy=strategy, epochs=epochs, lr=lr)
    best = max(found, key=lambda title: found[title].chosen_by)
    gap = 100 * (found[best].right - defaults.right) / defaults.images
    print(f"the best by hand: {best}; the defaults are {abs(gap):.1f} points {'below' if gap > 0 else 'above'} it")


def measured(title: str, case: Case, **settings: Any) -> Counted:
    """What one set of settings gets right over all seeds."""
    found, started = Counted(), time.perf_counter()
    for seed, tables in enumerate(case.data):
        for data in tables:
            with tempfile.TemporaryDirectory() as folder:
                config = zoo_core.FinetuneConfig(
                    backbone=case.backbone, data=data, seed=seed, out=f"{folder}/run", **settings
                )
                result = zoo_core.finetune(config)
                images = read_facts(result.directory).data.images["val"]
            kept = next(report for report in result.trained.epochs if report.epoch == result.trained.best)
            found.chosen_by += round(kept.val_score * images)
            found.right += round(result.evaluation.score * result.evaluation.images)
            found.images += result.evaluation.images
    share, counted = f"{100 * found.right / found.images:.1f} %", f"{found.right}/{found.images}"
    print(f"{title:<34}{found.chosen_by:>12}{share:>10}{counted:>12}{time.perf_counter() - started:>9.1f}", flush=True)
    return found


if __name__ == "__main__":
    main()
