"""Whether a run tells strangers from its own kind, what its temperature buys, and whether its sets hold what they promise.

    python benchmarks/strangers.py CLOTHING STAMPS [--size 96] [--seeds 3] [--splits 20]
    python benchmarks/strangers.py CLOTHING STAMPS --seeds 0 --bundled

CLOTHING is github.com/alexeygrigorev/clothing-dataset-small, STAMPS the folder that stamps.py makes. For each seed a head is
trained on the frozen efficientnet_lite0 with 40 photos of each class, 20 validate, and 150 test photos and 150 stamps are
predicted. For the sets all photos are dealt anew in each split: a fifth of them are test photos, of which 100 are predicted,
and a fifth of the rest validates. With --bundled these are the images that zoo brings, and lenet5 is the backbone.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from defaults import written_out

import zoo_core
from zoo_core.data.decode import IMAGE_ENDINGS
from zoo_core.runs.directory import read_metrics
from zoo_core.tasks.metrics import area_under_roc

BACKBONE = "efficientnet_lite0"
COUNTS = {"train": ("train", 40), "val": ("validation", 20)}
MEASURED = 150  # photos, and as many stamps
MEASURED_A_SPLIT = 100  # test photos
COVERAGE = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clothing", type=Path)
    parser.add_argument("stamps", type=Path)
    parser.add_argument("--size", type=int, help="pixels of the images (default the backbone's)")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3: 0, 1, 2)")
    parser.add_argument("--splits", type=int, default=20, help="splits in which sets are measured")
    parser.add_argument("--bundled", action="store_true", help="measure sets on the bundled images, with lenet5")
    given = parser.parse_args()
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            tell_strangers(given, Path(folder), seed)
    with tempfile.TemporaryDirectory() as folder:
        place, backbone = Path(folder) / "photos", "lenet5" if given.bundled else BACKBONE
        photos = written_out(place) if given.bundled else Path(shutil.copytree(given.clothing, place))
        found = []
        for seed in range(given.splits):
            found.append(covered(photos, Path(folder), given.size, seed, backbone))
            print(f"split {seed}: {100 * found[-1][0]:.0f} % in {found[-1][1]:.2f} classes", flush=True)
    if found:
        shares, sizes = np.array(found).T
        print(
            f"sets of {100 * COVERAGE:g} % held the true class in {100 * shares.mean():.1f} % of test photos, mean of "
            f"{len(found)} splits ({100 * shares.min():.1f} to {100 * shares.max():.1f} %), {sizes.mean():.2f} classes a set"
        )


def tell_strangers(given: argparse.Namespace, folder: Path, seed: int) -> None:
    chance = Random(seed)
    run = trained(given.clothing, folder, given.size, seed, chance)
    line = read_metrics(run)[-1]["calibration"]
    print(
        f"seed {seed}: temperature {line['temperature']:.3g}, ECE {100 * line['ece_before']:.1f} to {100 * line['ece']:.1f} %",
        end="; ",
    )
    own, strangers = (some(root, MEASURED, chance) for root in (given.clothing / "test", given.stamps))
    is_stranger, distances, doubts = doubts_and_distances(run, own, strangers)
    told = [one.is_stranger for one in zoo_core.load(run).predict([*own, *strangers])]
    print(
        f"AUROC of the distance {area_under_roc(distances, is_stranger):.4f}, of 1 - the highest probability "
        f"{area_under_roc(doubts, is_stranger):.3f}; told as strangers: {100 * np.mean(told[len(own) :]):.0f} % of the stamps, "
        f"{100 * np.mean(told[: len(own)]):.0f} % of the photos",
        flush=True,
    )


def trained(clothing: Path, folder: Path, size: int | None, seed: int, chance: Random) -> Path:
    for part, (source, count) in COUNTS.items():
        for of_class in sorted((clothing / source).iterdir()):
            target = folder / "data" / part / of_class.name
            target.mkdir(parents=True)
            for photo in some(of_class, count, chance):
                shutil.copy(photo, target)
    return head_on(folder / "data", folder / "run", size, seed)


def head_on(data: Path, out: Path, size: int | None, seed: int, backbone: str = BACKBONE) -> Path:
    """A run with a head on the frozen backbone, 10 epochs."""
    config = zoo_core.FinetuneConfig(
        backbone=backbone,
        data=str(data),
        size=size,
        strategy="head-only",
        epochs=10,
        seed=seed,
        out=str(out),
    )
    return zoo_core.finetune(config).directory


def covered(photos: Path, folder: Path, size: int | None, seed: int, backbone: str) -> tuple[float, float]:
    """The share of test photos whose class is in their set, and the mean size of the sets."""
    files = some(photos, len([*photos.rglob("*")]), Random(seed))
    held, table = len(files) // 5, photos / f"split-{seed}.csv"
    with table.open("w", newline="") as file:
        rows = [
            (path.relative_to(photos), path.parent.name, "test" if place < held else "train")
            for place, path in enumerate(files)
        ]
        csv.writer(file).writerows([("path", "class", "part"), *rows])
    run = head_on(table, folder / f"run-{seed}", size, seed, backbone)
    tested = files[: min(held, MEASURED_A_SPLIT)]
    answers = zoo_core.load(run).predict(tested, coverage=COVERAGE)
    sets = [{name for name, _ in one.answers} for one in answers]
    right = [path.parent.name in names for path, names in zip(tested, sets, strict=True)]
    return float(np.mean(right)), float(np.mean([len(names) for names in sets]))


def doubts_and_distances(run: Path, own: list[Path], strangers: list[Path]) -> tuple[Any, Any, Any]:
    """Of each image whether it is a stranger, its distance to the training images, and 1 - its highest probability."""
    found = zoo_core.load(run).predict([*own, *strangers])
    is_stranger = np.repeat([False, True], [len(own), len(strangers)])
    distances = np.array([one.distance for one in found])
    return is_stranger, distances, np.array([1 - one.answers[0][1] for one in found])


def some(root: Path, count: int, chance: Random) -> list[Path]:
    """So many images below a folder, in an order by chance."""
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in IMAGE_ENDINGS)
    return chance.sample(files, min(count, len(files)))


if __name__ == "__main__":
    main()
