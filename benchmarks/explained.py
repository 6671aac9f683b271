"""Whether the heat maps of `zoo explain` find what an answer rests on: their deletion scores beside those of chance.

    python benchmarks/stamps.py STAMPS
    python benchmarks/explained.py STAMPS [--backbone efficientnet_lite0] [--images 70] [--size 112] [--methods grad-cam]

A head is trained on three quarters of the images. Each of the others, drawn by chance up to so many, is explained, and its
hottest places are deleted first. The score is the area under the curve of what is left of the answer's probability: the
smaller, the better the map. Beside it stand the scores of five maps with the same cells in an order of chance.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import zoo_core
from measuring import environment
from zoo_core.explaining import METHODS
from zoo_core.explaining.deletion import Deletion
from zoo_core.explaining.explain import Explainer, open_explainer
from zoo_core.run_images import measured_part
from zoo_core.runs.directory import read_facts
from zoo_core.tasks.metrics import FloatArray, wilson

RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the deletion scores of heat maps with those of chance.")
    parser.add_argument("stamps", type=Path, help="a folder of classes")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS[:1])
    parser.add_argument("--images", type=int, default=70)
    parser.add_argument("--size", type=int, help="pixels of an image (that of the weights)")
    given = parser.parse_args()
    print(environment("torch"), given.backbone, sep=", ")
    with tempfile.TemporaryDirectory() as folder:
        config = zoo_core.FinetuneConfig(
            backbone=given.backbone,
            data=str(given.stamps.resolve()),
            strategy="head-only",
            size=given.size,
            val_share=0.25,
            out=f"{folder}/run",
        )
        run = zoo_core.finetune(config).directory
        for method in given.methods:
            explainer = open_explainer(run, method=method)
            print(f"{method}: {report(scores(explainer, run, given.images))}", flush=True)


def scores(explainer: Explainer, run: Path, most: int) -> list[Deletion]:
    """The deletion scores of some of the images that the run held out."""
    source, name = measured_part(run, read_facts(run), None, zoo_core.open_catalog(), command="zoo explain")
    part = source.parts[name]
    chosen = np.random.default_rng(0).permutation(len(part))[:most].tolist()
    return [one.deletion for one in explainer.explanations(part.take(chosen).images) if one.deletion]


def report(found: list[Deletion]) -> str:
    """The means, their difference with its interval, and how often a map is better than chance."""
    by_map, by_chance = np.array([[one.by_map, one.by_chance] for one in found]).T
    low, high = interval(by_chance - by_map)
    told = [f"{len(found)} images: {by_map.mean():.3f} by the map, {by_chance.mean():.3f} by chance"]
    told += [f"{(by_chance - by_map).mean():.3f} less (95 % interval {low:.3f} to {high:.3f})"]
    for words, better in (
        ("the mean", by_map < by_chance),
        ("the best of five", [one.means_something for one in found]),
    ):
        least, most = wilson(int(np.sum(better)), len(found))
        share = f"{100 * np.mean(better):.0f} % ({100 * least:.0f} to {100 * most:.0f} %)"
        told.append(f"better than {words} by chance: {share}")
    return "; ".join(told)


def interval(values_N: FloatArray) -> tuple[float, float]:
    """The 95 % interval of a mean, by a bootstrap over images."""
    drawn = np.random.default_rng(0).choice(values_N, (RESAMPLES, len(values_N))).mean(1)
    low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
    return low, high


if __name__ == "__main__":
    main()
