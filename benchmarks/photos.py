"""The worth of each option for photographs as people have them: cut off, few, uneven, unlike the others.

    python benchmarks/stamps.py STAMPS
    python benchmarks/photos.py STAMPS PHOTOS [--size 96] [--seeds 3] [--only PHOTOS-20] [--options fit balance]

PHOTOS has the folders train/, val/ (or validation/) and test/: github.com/alexeygrigorev/clothing-dataset-small for the
figures of README.md. It is taken whole, with 20 training images of each class, and made uneven: 400 training images of the most
frequent class and a fiftieth of that of the rarest, in equal steps between, with the validation images that zoo holds out of
them. Each image of STAMPS is a test image once for each seed. Test images decide nothing.

A head is trained on a frozen backbone, with one option after the other. Beside them stand what timm and fastai do by
default: timm's script crops 8 to 100 % of the area, flips, varies colours by 0.4 and smooths labels by 0.1; fastai's
`aug_transforms()` flips, turns by 10 degrees and varies brightness and contrast by 0.2 (zoom and warp are left out). Neither
balances classes, fits a temperature or knows strangers. Strangers are images of the other data set.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from defaults import few_of_each_class
from PIL import Image
from strangers import doubts_and_distances, some

import zoo_core
from solved import with_folds
from zoo_core.data.folders import read_folders
from zoo_core.errors import ZooError
from zoo_core.runs.directory import read_metrics
from zoo_core.tasks.metrics import area_under_roc

MOST, UNEVEN = 400, 50  # training images of the most frequent class, and of how many times as many as the rarest
STRANGERS = 150  # and as many of the own kind
VIEWS = 4  # of each training image, where it is varied


def as_timm(image: Image.Image, chance: Random) -> Image.Image:
    """The random crop, flip and colours of timm's training script, with its defaults (timm 1.0.31, `train.py`)."""
    from torchvision.transforms.v2 import functional

    side, area = image.width, chance.uniform(0.08, 1) * image.width**2
    ratio = np.exp(chance.uniform(np.log(3 / 4), np.log(4 / 3)))
    width, height = (min(side, max(1, round(one))) for one in (np.sqrt(area * ratio), np.sqrt(area / ratio)))
    left, top = chance.randint(0, side - width), chance.randint(0, side - height)
    image = functional.resized_crop(image, top, left, height, width, [side, side], antialias=True)
    if chance.random() < 0.5:
        image = functional.horizontal_flip(image)
    changes = [functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation]
    chance.shuffle(changes)
    for change in changes:
        image = change(image, chance.uniform(0.6, 1.4))
    return image


OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "fit": {"--fit pad": {"fit": "pad"}, "--fit squash": {"fit": "squash"}},
    "augment": {
        "--augment crop+flip": {"augment": "crop+flip", "views": VIEWS},
        "--augment trivial": {"augment": "trivial", "views": VIEWS},
        "timm's augmentation": {"augment": as_timm, "views": VIEWS},
        "timm's, and its smoothing": {"augment": as_timm, "views": VIEWS, "label_smoothing": 0.1},
        "fastai's aug_transforms": {"augment": "flip+rotate:degrees=10+color:strength=0.2", "views": VIEWS},
    },
    "balance": {
        "--balance weights": {"balance": "weights"},
        "--balance sampling": {"balance": "sampling"},
    },
    "loss": {
        "--loss focal": {"loss": "focal"},
        "--loss focal --balance weights": {"loss": "focal", "balance": "weights"},
    },
    "metric": {
        "--metric balanced-accuracy": {"metric": "balanced-accuracy"},
        "--metric log-loss": {"metric": "log-loss"},
        "--best-epoch highest": {"best_epoch": "highest"},
    },
}
"""The options that are tried, by what they are about."""


@dataclass
class Counted:
    """Answers on test images over all seeds: right ones and all of each class, and calibration errors."""

    right: Any = 0
    images: Any = 0
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    areas: list[tuple[float, float]] = field(default_factory=list)
    """The areas under the ROC curve of the distance to the training images, and of the doubt."""

    @property
    def accuracy(self) -> float:
        return float(100 * self.right.sum() / self.images.sum())

    @property
    def balanced(self) -> float:
        return float(100 * np.mean(self.right / self.images))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stamps", type=Path, help="the folder of classes that stamps.py made, or any other")
    parser.add_argument("photos", type=Path, help="a folder with train/, val/ and test/")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one")
    parser.add_argument("--size", type=int, help="pixels of the images (default the backbone's)")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3: 0, 1, 2)")
    parser.add_argument("--only", help="the data set whose title begins so")
    parser.add_argument("--options", nargs="*", default=list(OPTIONS), choices=list(OPTIONS), help="what is tried")
    parser.add_argument("--strategy", default="head-only")
    given = parser.parse_args()
    print(f"zoo {zoo_core.__version__}, {given.backbone}, {given.strategy}, {given.size} pixels, {given.seeds} seeds")
    with tempfile.TemporaryDirectory() as folder:
        try:
            for title, data, strangers in data_sets(given, Path(folder)):
                if title.startswith(given.only or ""):
                    compare(title, data, strangers, given)
        except ZooError as error:
            raise SystemExit(f"error: {error}") from None


def data_sets(given: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[list[Path]], Path]]:
    """The data sets: a title, the tables of each seed, and a folder of other images."""
    stamps, photos = (Path(shutil.copytree(one, folder / one.name)) for one in (given.stamps, given.photos))
    seeds = range(given.seeds)
    yield f"{photos.name}-20", [[few_of_each_class(photos, seed)] for seed in seeds], stamps
    yield f"{photos.name}-{UNEVEN}:1", [[uneven(photos, seed)] for seed in seeds], stamps
    yield photos.name, [[photos] for _ in seeds], stamps
    yield stamps.name, [with_folds(stamps, seed) for seed in seeds], photos / "test"


def uneven(photos: Path, seed: int) -> Path:
    """Write a CSV file of training images whose number falls from class to class, and of all test images."""
    source, generator = read_folders(photos), np.random.default_rng(seed)
    classes, table = len(source.classes), photos / f"uneven-{seed}.csv"
    order = np.argsort(-np.bincount(source.parts["train"].targets))
    counts = {int(label): round(MOST * UNEVEN ** (-rank / (classes - 1))) for rank, label in enumerate(order)}
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "class", "part"])
        for name in ("train", "test"):
            part = source.parts[name]
            for label, title in enumerate(source.classes):
                most = counts[label] if name == "train" else len(part)
                for index in generator.permutation(np.flatnonzero(part.targets == label))[:most]:
                    writer.writerow([Path(part.images.name(int(index))), title, name])
    return table


def compare(title: str, data: list[list[Path]], strangers: Path, given: argparse.Namespace) -> None:
    """Train with the defaults and with each option, and print the figures and their differences to the defaults."""
    print(f"\n{title}\n{'':<32}{'accuracy':>16}{'balanced':>16}{'ECE before':>12}{'ECE':>8}{'seconds':>9}", flush=True)
    usual = measured("zoo's defaults", data, given, {}, None, strangers)
    for option in given.options:
        for name, settings in OPTIONS[option].items():
            measured(name, data, given, settings, usual)
    distance, doubt = np.mean(usual.areas, axis=0)
    each = ", ".join(f"{one:.4f}" for one, _ in usual.areas)
    print(f"strangers: AUROC of the distance {distance:.4f} ({each}), of 1 - the highest probability {doubt:.3f}")


def measured(
    name: str,
    data: list[list[Path]],
    given: argparse.Namespace,
    settings: dict[str, Any],
    usual: Counted | None,
    strangers: Path | None = None,
) -> Counted:
    """The figures on test images over all seeds, printed; with `strangers` of the first fold of each seed also areas."""
    found, started = Counted(), time.perf_counter()
    for seed, tables in enumerate(data):
        for number, table in enumerate(tables):
            with tempfile.TemporaryDirectory() as folder:
                config = zoo_core.FinetuneConfig(
                    backbone=given.backbone,
                    data=str(table),
                    size=given.size,
                    seed=seed,
                    out=f"{folder}/run",
                    **{"strategy": given.strategy, **settings},
                )
                run = zoo_core.finetune(config).directory
                line = read_metrics(run)[-1]
                if strangers is not None and number == 0:
                    found.areas.append(areas(run, table, strangers, Random(seed)))
            confusion = np.array(line["confusion"])
            found.right, found.images = found.right + confusion.diagonal(), found.images + confusion.sum(1)
            found.before.append(100 * line["calibration"]["ece_before"])
            found.after.append(100 * line["calibration"]["ece"])
    beside = ["", ""]
    if usual is not None:
        beside = [f" ({found.accuracy - usual.accuracy:+.1f})", f" ({found.balanced - usual.balanced:+.1f})"]
    cells = [f"{value:.1f} %{more}" for value, more in zip((found.accuracy, found.balanced), beside, strict=True)]
    errors = f"{np.mean(found.before):>10.1f} %{np.mean(found.after):>6.1f} %"
    print(f"{name:<32}{cells[0]:>16}{cells[1]:>16}{errors}{time.perf_counter() - started:>9.1f}", flush=True)
    return found


def areas(run: Path, table: Path, strangers: Path, chance: Random) -> tuple[float, float]:
    """The areas under the ROC curves by which strangers are told from test images."""
    if table.is_dir():
        own = some(table / "test", STRANGERS, chance)
    else:
        with table.open() as file:
            tests = sorted(table.parent / row["path"] for row in csv.DictReader(file) if row["part"] == "test")
        own = chance.sample(tests, min(STRANGERS, len(tests)))
    is_stranger, distances, doubts = doubts_and_distances(run, own, some(strangers, STRANGERS, chance))
    return area_under_roc(distances, is_stranger), area_under_roc(doubts, is_stranger)


if __name__ == "__main__":
    main()
