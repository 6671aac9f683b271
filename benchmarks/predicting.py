"""Measures `zoo predict` on many files against the input pipeline alone: reading, decoding, resizing.

    python benchmarks/predicting.py --data photos/ --backbone lenet5 --files 10000

The photos are linked as often as it takes, and both ways take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np

import zoo_core
from measuring import environment
from zoo_core.answering.images import named_images
from zoo_core.data.batches import Batches, default_workers
from zoo_core.data.given import ReadableImages
from zoo_core.data.sources import Part
from zoo_core.predict import BATCH_SIZE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--backbone", default="lenet5", help="a backbone or run that predicts")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(environment("torch", "pillow"), f"{arguments.rounds} rounds", sep=", ")
    with tempfile.TemporaryDirectory(dir=".") as folder:
        link(arguments.data, Path(folder) / "photos", arguments.files)
        rounds = [measure(Path(folder), arguments.backbone) for _ in range(arguments.rounds)]
    titles = ("input pipeline", "predictor", "zoo predict -o, with its start")
    for title, seconds in zip(titles, zip(*rounds, strict=True), strict=True):
        speeds = sorted(arguments.files / one for one in seconds)
        print(f"{title}: {statistics.median(speeds):,.0f} images/s ({speeds[0]:,.0f} to {speeds[-1]:,.0f})")
    ratios = sorted(pipeline / predictor for pipeline, predictor, _ in rounds)
    print(f"predictor by pipeline: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def link(source: Path, target: Path, count: int) -> None:
    """Fill a folder with so many links to the photos below another one."""
    photos = sorted(path.resolve() for path in source.rglob("*.jpg"))
    target.mkdir()
    for number, path in enumerate(islice(cycle(photos), count)):
        (target / f"{number:05d}.jpg").symlink_to(path)


def measure(folder: Path, backbone: str) -> tuple[float, float, float]:
    """The seconds of the pipeline alone, of the predictor, and of the command."""
    predictor = zoo_core.load(backbone, device="cpu")
    images = named_images([str(folder / "photos")], lambda: None)
    part = Part(ReadableImages(images), np.zeros(len(images), dtype=np.int64))
    started = time.perf_counter()
    for _ in Batches(part, predictor.preprocessing, BATCH_SIZE, default_workers()).in_order():
        pass
    read = time.perf_counter()
    for _ in predictor.predictions(images):
        pass
    predicted = time.perf_counter()
    out = folder / "answers.csv"
    command = [sys.executable, "-m", "zoo_core", "predict", backbone, str(folder / "photos"), "-o", str(out)]
    subprocess.run([*command, "--device", "cpu"], check=True, capture_output=True, env=dict(os.environ))
    ended = time.perf_counter()
    out.unlink()
    return read - started, predicted - read, ended - predicted


if __name__ == "__main__":
    main()
