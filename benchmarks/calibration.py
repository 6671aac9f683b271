"""What the fitted temperature does to the calibration error, measured on many images.

    python benchmarks/calibration.py PHOTOS [--size 96] [--strategies head-only last:2 full]

PHOTOS has the folders train/, val/ (or validation/) and test/, whose images are taken together: each is a test image once, in
one of five folds. Of each fold's other images zoo holds out those that the temperature is fitted to, as it does without an
option.

The expected calibration error sums the distances of confidence and accuracy in ten bins. It is above zero for the best
probabilities, because a bin's accuracy is that of some images. So beside it stands what it would be if these probabilities
were exactly right: the mean over draws of answers that are right as often as they say.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
import time
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
from strangers import some

import zoo_core
from zoo_core.runs.directory import read_metrics
from zoo_core.tasks.fitted import calibration_figures

FOLDS = 5
DRAWS = 100
FloatArray = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure calibration errors before and after the temperature.")
    parser.add_argument("photos", type=Path, help="a folder with train/, val/ and test/")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one")
    parser.add_argument("--size", type=int, help="pixels of the images (default the backbone's)")
    parser.add_argument("--strategies", nargs="*", default=["head-only", "last:2", "full"])
    given = parser.parse_args()
    print(f"zoo {zoo_core.__version__}, {given.backbone}, {given.size} pixels, {FOLDS} folds")
    print(
        f"{'':<12}{'images':>8}{'accuracy':>10}{'temperatures':>16}{'before':>8}{'after':>8}{'exact':>8}{'seconds':>9}"
    )
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(shutil.copytree(given.photos, Path(folder) / "photos"))
        for strategy in given.strategies:
            measure(strategy, photos, Path(folder), given)


def measure(strategy: str, photos: Path, folder: Path, given: argparse.Namespace) -> None:
    """Train on each fold, and print the errors of all answers together."""
    started, files = time.perf_counter(), some(photos, len([*photos.rglob("*")]), Random(0))
    classes = sorted({path.parent.name for path in files})
    answers_NK, targets, temperatures, before = [], [], [], []
    for fold in range(FOLDS):
        held = files[fold::FOLDS]
        table = photos / f"fold-{fold}.csv"
        with table.open("w", newline="") as file:
            rows = [
                (path.relative_to(photos), path.parent.name, "test" if path in set(held) else "train") for path in files
            ]
            csv.writer(file).writerows([("path", "class", "part"), *rows])
        config = zoo_core.FinetuneConfig(
            backbone=given.backbone,
            data=str(table),
            size=given.size,
            strategy=strategy,
            out=str(folder / f"{strategy.replace(':', '-')}-{fold}"),
        )
        run = zoo_core.finetune(config).directory
        temperature = float(read_metrics(run)[-1]["calibration"]["temperature"])
        probabilities_NK = np.array(
            [
                [dict(one.answers)[name] for name in classes]
                for one in zoo_core.load(run).predict(held, top=len(classes))
            ]
        )
        answers_NK.append(probabilities_NK)
        before.append(warmed(probabilities_NK, temperature))
        targets += [classes.index(path.parent.name) for path in held]
        temperatures.append(temperature)
    after_NK, before_NK = np.concatenate(answers_NK), np.concatenate(before)
    truth = np.array(targets)
    errors = [100 * calibration_figures(each, truth)["ece"] for each in (before_NK, after_NK)]
    accuracy = 100 * float((after_NK.argmax(1) == truth).mean())
    spread = f"{min(temperatures):.2f} to {max(temperatures):.2f}"
    cells = "".join(f"{one:>6.1f} %" for one in (*errors, exact(after_NK)))
    seconds = time.perf_counter() - started
    print(f"{strategy:<12}{len(truth):>8,}{accuracy:>8.1f} %{spread:>16}{cells}{seconds:>9.0f}", flush=True)


def warmed(probabilities_NK: FloatArray, temperature: float) -> FloatArray:
    """The probabilities as they were before the logits were divided by the temperature."""
    logits_NK = temperature * np.log(np.maximum(probabilities_NK, 1e-300))
    powers_NK = np.exp(logits_NK - logits_NK.max(1, keepdims=True))
    return np.asarray(powers_NK / powers_NK.sum(1, keepdims=True))


def exact(probabilities_NK: FloatArray) -> float:
    """The error in percent of answers that are right exactly as often as these probabilities say."""
    generator = np.random.default_rng(0)
    edges_NK = probabilities_NK.cumsum(1)
    drawn = []
    for _ in range(DRAWS):
        chance_N1 = generator.random((len(edges_NK), 1)) * edges_NK[:, -1:]
        drawn.append(calibration_figures(probabilities_NK, (edges_NK < chance_N1).sum(1))["ece"])
    return float(100 * np.mean(drawn))


if __name__ == "__main__":
    main()
