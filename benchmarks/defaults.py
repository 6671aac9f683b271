"""What `zoo finetune` gives without a tuning option, against the best of a small search by hand.

    python benchmarks/stamps.py STAMPS
    python benchmarks/defaults.py STAMPS [--backbone efficientnet_lite0] [--seeds 3]

Two data sets: the folder given, with a pretrained backbone, and the bundled one with lenet5. The search tries every
combination of the learning rates, epochs and strategies below, all else being left as it is. Each side's accuracy is that
on the validation images, summed over the seeds; the search is given its best combination for those very images, which is
more than a person would have.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zoo_core
from zoo_core.errors import ZooError

RATES = (1e-3, 5e-3, 2e-2)
EPOCHS = (10, 30)


@dataclass(frozen=True)
class Case:
    """A data set, a backbone and the strategies that a person would try there."""

    title: str
    backbone: str
    data: str
    strategies: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the defaults with a small search by hand.")
    parser.add_argument("stamps", type=Path, help="the folder of classes that stamps.py made, or any other")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one, for that folder")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3: 0, 1, 2)")
    arguments = parser.parse_args()
    cases = (
        Case(arguments.stamps.name, arguments.backbone, str(arguments.stamps), ("head-only", "last:1")),
        Case("bundled", "lenet5", "fashion-small", ("head-only", "last:1", "full")),
    )
    try:
        for case in cases:
            compare(case, arguments.seeds)
    except ZooError as error:
        raise SystemExit(f"error: {error}") from None


def compare(case: Case, seeds: int) -> None:
    """Run the defaults and the search on one case and print what came out."""
    print(f"\n{case.title}, {case.backbone}\n{'':<34}{'accuracy':>10}{'correct':>12}{'seconds':>9}")
    defaults = measured("defaults", case, seeds)
    found = {}
    for strategy, epochs, lr in itertools.product(case.strategies, EPOCHS, RATES):
        title = f"{strategy}, {epochs} epochs, lr {lr:g}"
        found[title] = measured(title, case, seeds, strategy=strategy, epochs=epochs, lr=lr)
    best = max(found, key=lambda title: found[title])
    gap = 100 * (found[best] - defaults)
    print(f"the best by hand: {best}; the defaults are {abs(gap):.1f} points {'below' if gap > 0 else 'above'} it")


def measured(title: str, case: Case, seeds: int, **settings: Any) -> float:
    """The accuracy over all seeds of one set of settings."""
    correct, images, started = 0, 0, time.perf_counter()
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            config = zoo_core.FinetuneConfig(
                backbone=case.backbone, data=case.data, seed=seed, out=f"{folder}/run", **settings
            )
            evaluation = zoo_core.finetune(config).evaluation
        correct, images = correct + round(evaluation.score * evaluation.images), images + evaluation.images
    share = correct / images
    seconds = time.perf_counter() - started
    print(f"{title:<34}{100 * share:>8.1f} %{f'{correct}/{images}':>12}{seconds:>9.1f}", flush=True)
    return share


if __name__ == "__main__":
    main()
