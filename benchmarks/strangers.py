"""Whether a run tells strangers from its own kind, and what its temperature buys.

    python benchmarks/strangers.py CLOTHING STAMPS

CLOTHING is github.com/alexeygrigorev/clothing-dataset-small, STAMPS the folder that stamps.py makes. A head is trained on the
frozen efficientnet_lite0 with 40 photos of each class, 20 validate, and 150 test photos and 150 stamps are predicted.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from pathlib import Path

import numpy as np

import zoo_core
from zoo_core.runs.directory import read_metrics
from zoo_core.tasks.metrics import area_under_roc

COUNTS = {"train": ("train", 40), "val": ("validation", 20)}
MEASURED = 150  # photos, and as many stamps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clothing", type=Path)
    parser.add_argument("stamps", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    random.seed(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        run = trained(given.clothing, Path(folder))
        line = read_metrics(run)[-1]["calibration"]
        print(
            f"temperature {line['temperature']:.3g}: ECE {100 * line['ece_before']:.1f} % to {100 * line['ece']:.1f} %"
        )
        predictor = zoo_core.load(run)
        own, strangers = (
            predictor.predict(some(root, MEASURED), bad_images="skip")
            for root in (given.clothing / "test", given.stamps)
        )
    is_stranger = np.repeat([False, True], [len(own), len(strangers)])
    distances = np.array([one.distance for one in (*own, *strangers)])
    doubts = np.array([1 - one.answers[0][1] for one in (*own, *strangers)])
    print(f"AUROC of the distance {area_under_roc(distances, is_stranger):.4f}, ", end="")
    print(f"of 1 - the highest probability {area_under_roc(doubts, is_stranger):.3f}")
    shares = [100 * np.mean([one.is_stranger for one in each]) for each in (strangers, own)]
    print(f"told as strangers: {shares[0]:.0f} % of the stamps, {shares[1]:.0f} % of the photos")


def trained(clothing: Path, folder: Path) -> Path:
    for part, (source, count) in COUNTS.items():
        for of_class in sorted((clothing / source).iterdir()):
            target = folder / "data" / part / of_class.name
            target.mkdir(parents=True)
            for photo in some(of_class, count):
                shutil.copy(photo, target)
    data, out = str(folder / "data"), str(folder / "run")
    config = zoo_core.FinetuneConfig(backbone="efficientnet_lite0", data=data, strategy="head-only", epochs=10, out=out)
    return zoo_core.finetune(config).directory


def some(root: Path, count: int) -> list[Path]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return random.sample(files, min(count, len(files)))


if __name__ == "__main__":
    main()
