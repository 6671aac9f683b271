"""What `zoo finetune` gives without a tuning option, against the best of a small search by hand.

    python benchmarks/stamps.py STAMPS
    python benchmarks/defaults.py STAMPS [--backbone efficientnet_lite0] [--seeds 3]

Two data sets: the folder given, with a pretrained backbone, and the bundled one with lenet5. The search tries every
combination of the learning rates, epochs and strategies below, all else being left as it is, and takes what is right most
often on the validation images, as a person would. Of the folder each image is a test image once for each seed, and both
sides are measured on these. The bundled data have no third part: there both are measured on the validation images, for
which the search has chosen.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zoo_core
from solved import with_folds
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
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one, for that folder")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3: 0, 1, 2)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(shutil.copytree(arguments.stamps, Path(folder) / "images"))
        tables = [[str(table) for table in with_folds(images, seed)] for seed in range(arguments.seeds)]
        bundled = [["fashion-small"]] * arguments.seeds
        try:
            compare(Case(arguments.stamps.name, arguments.backbone, tables, ("head-only", "last:1")))
            compare(Case("bundled", "lenet5", bundled, ("head-only", "last:1", "full")))
        except ZooError as error:
            raise SystemExit(f"error: {error}") from None


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
            found.chosen_by += round(max(report.val_score for report in result.trained.epochs) * images)
            found.right += round(result.evaluation.score * result.evaluation.images)
            found.images += result.evaluation.images
    share, counted = f"{100 * found.right / found.images:.1f} %", f"{found.right}/{found.images}"
    print(f"{title:<34}{found.chosen_by:>12}{share:>10}{counted:>12}{time.perf_counter() - started:>9.1f}", flush=True)
    return found


if __name__ == "__main__":
    main()
