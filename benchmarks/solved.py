"""The head that is solved against a trained linear one, on the same frozen features.

    python benchmarks/stamps.py STAMPS
    python benchmarks/solved.py STAMPS [--backbone efficientnet_lite0] [--seeds 3]

For each seed each class is dealt out into five parts, and each part in turn is kept aside as test images, which decide
nothing: not the epoch whose weights the trained head keeps, nor the penalty of the solved one. So every image is a test
image once a seed. Both heads get the same training images and the same features, which are computed before the first of
them and kept; the seconds are those of what comes after that, the epochs of the one and the single fit of the other, with
their measurements.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np

import zoo_core
from zoo_core.data.folders import read_folders
from zoo_core.errors import ZooError
from zoo_core.runs.directory import read_metrics

HEADS = ("linear", "logreg")
WARM_UP = "linear:dropout=0"  # computes the features that both are given
FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the heads 'logreg' and 'linear' on frozen features.")
    parser.add_argument("stamps", type=Path, help="the folder of classes that stamps.py made, or any other")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one")
    parser.add_argument("--epochs", type=int, help="epochs of the trained head (those of zoo finetune)")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3: 0, 1, 2)")
    arguments = parser.parse_args()
    print(f"zoo {zoo_core.__version__}, {arguments.backbone}, {arguments.stamps.name}\n")
    print(f"{'seed':<6}{'head':<10}{'test accuracy':>14}{'correct':>10}{'seconds':>10}")
    found: dict[str, list[tuple[int, int, float]]] = {head: [] for head in HEADS}
    with tempfile.TemporaryDirectory() as folder:
        try:
            images = Path(folder) / "images"  # paths in a CSV file may not lead out of its folder
            shutil.copytree(arguments.stamps, images)
            for seed in range(arguments.seeds):
                tables = with_folds(images, seed)
                for head in (WARM_UP, *HEADS):
                    runs = [measure(arguments, table, seed, head, Path(folder)) for table in tables]
                    if head == WARM_UP:
                        continue
                    correct, count = sum(one[0] for one in runs), sum(one[1] for one in runs)
                    seconds = median(runs)
                    found[head] += runs
                    line = f"{seed:<6}{head:<10}{100 * correct / count:>12.1f} %{f'{correct}/{count}':>10}"
                    print(f"{line}{seconds:>10.2f}", flush=True)
        except ZooError as error:
            raise SystemExit(f"error: {error}") from None
    print()
    for head, runs in found.items():
        correct, total = sum(one[0] for one in runs), sum(one[1] for one in runs)
        print(f"{head}: {100 * correct / total:.1f} % ({correct}/{total}), median {median(runs):.2f} s")
    print(f"The trained head takes {median(found['linear']) / median(found['logreg']):.1f} times as long.")


def median(runs: list[tuple[int, int, float]]) -> float:
    return statistics.median(seconds for _, _, seconds in runs)


def with_folds(root: Path, seed: int, *, held: str = "test") -> list[Path]:
    """Write CSV files that name each image, its class, and which of them are held out: another fifth in each."""
    source = read_folders(root)
    part = source.parts["train"]
    generator = np.random.default_rng(seed)
    fold = np.zeros(len(part), np.int64)
    for label in range(len(source.classes)):
        members = np.flatnonzero(part.targets == label)
        fold[generator.permutation(members)] = np.arange(len(members)) % FOLDS
    tables = [root / f"{seed}-{number}.csv" for number in range(FOLDS)]
    for number, table in enumerate(tables):
        with table.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "class", "part"])
            for index, target in enumerate(part.targets):
                name = held if fold[index] == number else "train"
                writer.writerow([part.images.name(index), source.classes[target], name])
    return tables


def measure(arguments: argparse.Namespace, table: Path, seed: int, head: str, folder: Path) -> tuple[int, int, float]:
    """Fine-tune with a head; return correct answers on the test images, their number and the seconds it took."""
    out = folder / f"{table.stem}-{head}"
    config = zoo_core.FinetuneConfig(
        backbone=arguments.backbone, head=head, data=str(table), epochs=arguments.epochs, seed=seed, out=str(out)
    )
    zoo_core.finetune(config)
    last = read_metrics(out)[-1]
    assert last["part"] == "test"
    return last["correct"], last["images"], last["seconds"]


if __name__ == "__main__":
    main()
