"""What more varied views of each image are worth where the frozen front is computed once: accuracy and seconds by K.

    python benchmarks/stamps.py STAMPS
    python benchmarks/views.py STAMPS [--views 1 2 4 8 0] [--strategies head-only last:1] [--seeds 3] [--epochs 10]

`zoo finetune --cached-views K` keeps K views of each training image and shows them in turn; 0 keeps nothing, and every
epoch sees fresh ones, as in any other trainer. For each seed the images are split once. Every run begins with
an empty cache; its seconds go from the chosen settings to the written run directory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import zoo_core
from measuring import environment
from zoo_core.errors import ZooError

LINE = "{:<12}{:>6}{:>20}{:>14}{:>12}{:>12}   {}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy and seconds by the number of kept views.")
    parser.add_argument("stamps", type=Path, help="the folder of classes that stamps.py made, or any other")
    parser.add_argument("--views", type=int, nargs="+", default=[1, 2, 4, 8, 0])
    parser.add_argument("--strategies", nargs="+", default=["head-only", "last:1"])
    parser.add_argument(
        "--backbone", default="efficientnet_lite0", help="a pretrained one (default efficientnet_lite0)"
    )
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3: 0, 1, 2)")
    arguments = parser.parse_args()
    print(environment("torch", "torchvision"), arguments.backbone, f"{arguments.epochs} epochs", sep=", ")
    print(
        LINE.format(
            "strategy", "views", "mean best accuracy", "of the last", "val. loss", "median s", "each seed's best"
        )
    )
    try:
        for strategy in arguments.strategies:
            for views in arguments.views:
                row(arguments, strategy, views)
    except ZooError as error:
        raise SystemExit(f"error: {error}") from None


def row(arguments: argparse.Namespace, strategy: str, views: int) -> None:
    """Train with every seed and print what came out."""
    best, last, loss, seconds = [], [], [], []
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["ZOO_CACHE"] = f"{folder}/cache"
            config = zoo_core.FinetuneConfig(
                backbone=arguments.backbone,
                data=str(arguments.stamps),
                strategy=strategy,
                views=views,
                epochs=arguments.epochs,
                seed=seed,
                out=f"{folder}/run",
            )
            start = time.perf_counter()
            trained = zoo_core.finetune(config).trained
            seconds.append(time.perf_counter() - start)
        best.append(100 * trained.epochs[trained.best - 1].score)
        last.append(100 * trained.epochs[-1].score)
        loss.append(trained.epochs[-1].loss)
    each = ", ".join(f"{accuracy:.1f}" for accuracy in best)
    figures = (f"{statistics.mean(best):.1f} %", f"{statistics.mean(last):.1f} %", f"{statistics.mean(loss):.3f}")
    print(LINE.format(strategy, views, *figures, f"{statistics.median(seconds):.1f}", each), flush=True)


if __name__ == "__main__":
    main()
