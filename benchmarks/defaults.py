"""What `zoo finetune` gives without a tuning option, against the best of a small search by hand.

    python benchmarks/stamps.py STAMPS
    python benchmarks/digits.py DIGITS
    python benchmarks/defaults.py STAMPS PHOTOS DIGITS [--backbone efficientnet_lite0] [--seeds 3]
    python benchmarks/defaults.py STAMPS PHOTOS DIGITS --trained --size 128

PHOTOS has the folders train/, val/ (or validation/) and test/: github.com/alexeygrigorev/clothing-dataset-small for the
figures of README.md. It is taken whole, and with 20 training images and 5 validation images of each class, drawn by the seed.
Of the bundled images and of DIGITS each seed holds out another fifth of each class as test images; of STAMPS, which are few,
each fifth in turn. Test images decide nothing.

The first command compares frozen bases of the pretrained backbone: the search tries every combination of the learning rates
and epochs below with `--strategy head-only`. With lenet5, which is quick, and in the second command with all backbones the
default `--strategy auto` is compared with a search over strategies as well. All else is left as it is. The search takes what is
right most often on the validation images over all seeds, as a person would.
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
from zoo_core.data.bundled import fashion_small
from zoo_core.data.folders import read_folders
from zoo_core.errors import ZooError
from zoo_core.runs.directory import read_facts

RATES = (1e-3, 5e-3, 2e-2)
EPOCHS = (10, 30)
SMALL = "lenet5"
FROZEN = [*itertools.product(("head-only",), EPOCHS, RATES)]
TRAINED = {
    True: [*itertools.product(("head-only", "full"), EPOCHS, RATES)],
    False: [*itertools.product(("head-only", "last:2", "full"), (10,), (3e-3, 1e-2))],
}
"""The settings that are tried where more than a head may learn, of small networks and of others."""


@dataclass(frozen=True)
class Case:
    """A data set and a backbone; `data` are the tables of each seed."""

    title: str
    backbone: str
    data: list[list[str]]


@dataclass
class Counted:
    """Right answers of so many, on validation images and on those that are measured on."""

    chosen_by: int = 0
    right: int = 0
    images: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the defaults with a small search by hand.")
    parser.add_argument("stamps", type=Path, help="the folder of classes that stamps.py made, or any other small one")
    parser.add_argument("photos", type=Path, help="a folder with train/, val/ and test/")
    parser.add_argument("digits", type=Path, help="the folder of classes that digits.py made, or any other")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3: 0, 1, 2)")
    parser.add_argument("--trained", action="store_true", help="search over strategies as well")
    parser.add_argument("--size", type=int, help="pixels of the images of the pretrained backbone (default its own)")
    parser.add_argument("--only", help="the case whose title begins so")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            gaps = [
                compare(case, trained=arguments.trained, size=arguments.size)
                for case in cases(arguments, Path(folder))
                if case.title.startswith(arguments.only or "")
            ]
        except ZooError as error:
            raise SystemExit(f"error: {error}") from None
    print(f"\nmean over {len(gaps)} cases: {sum(gaps) / len(gaps):+.1f} points; the worst: {min(gaps):+.1f}")


def cases(arguments: argparse.Namespace, folder: Path) -> list[Case]:
    """The data sets, copied, with the tables that say which images are held out."""
    stamps, photos, digits = (
        Path(shutil.copytree(root, folder / root.name))
        for root in (arguments.stamps, arguments.photos, arguments.digits)
    )
    bundled, seeds = written_out(folder / "bundled"), range(arguments.seeds)
    folds = [[str(table) for table in with_folds(stamps, seed)] for seed in seeds]
    few = [[str(few_of_each_class(photos, seed))] for seed in seeds]
    a_fifth = {root: [[str(with_folds(root, seed)[0])] for seed in seeds] for root in (bundled, digits)}
    return [
        Case(f"{photos.name}, 20 a class", arguments.backbone, few),
        Case(stamps.name, arguments.backbone, folds),
        Case("bundled", arguments.backbone, a_fifth[bundled]),
        Case("bundled", SMALL, a_fifth[bundled]),
        Case(digits.name, arguments.backbone, a_fifth[digits]),
        Case(digits.name, SMALL, a_fifth[digits]),
        Case(photos.name, arguments.backbone, [[str(photos)] for _ in seeds]),
    ]


def written_out(root: Path) -> Path:
    """Write the bundled images, all parts together, into a folder of each class."""
    source = fashion_small()
    for name, part in source.parts.items():
        for index, label in enumerate(part.targets.tolist()):
            place = root / source.classes[label].replace("/", "-")
            place.mkdir(parents=True, exist_ok=True)
            part.images.read(index).save(place / f"{name}-{index}.png")
    return root


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


def compare(case: Case, *, trained: bool, size: int | None) -> float:
    """Run the defaults and the search on one case, print what came out, and return how many points the defaults lead."""
    small = case.backbone == SMALL
    tried = TRAINED[small] if small or trained else FROZEN
    settings: dict[str, Any] = {
        "size": None if small else size,
        "strategy": "auto" if small or trained else "head-only",
    }
    print(f"\n{case.title}, {case.backbone}\n{'':<34}{'validation':>12}{'accuracy':>10}{'correct':>12}{'seconds':>9}")
    defaults = measured("defaults", case, **settings)
    found = {}
    for strategy, epochs, lr in tried:
        title = f"{strategy}, {epochs} epochs, lr {lr:g}"
        found[title] = measured(title, case, **{**settings, "strategy": strategy, "epochs": epochs, "lr": lr})
    best = max(found, key=lambda title: found[title].chosen_by)
    lead = 100 * (defaults.right - found[best].right) / defaults.images
    print(f"the best by hand: {best}; the defaults lead by {lead:+.1f} points")
    return lead


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
            found.chosen_by += round(kept.score * images)
            found.right += round(result.evaluation.score * result.evaluation.images)
            found.images += result.evaluation.images
    share, counted = f"{100 * found.right / found.images:.1f} %", f"{found.right}/{found.images}"
    print(f"{title:<34}{found.chosen_by:>12}{share:>10}{counted:>12}{time.perf_counter() - started:>9.1f}", flush=True)
    return found


if __name__ == "__main__":
    main()
