"""What it is worth to flip and shift kept feature maps, beside mixup and beside kept views of varied pixels.

    python benchmarks/stamps.py STAMPS
    python benchmarks/maps.py STAMPS [--strategies head-only last:1 last:2] [--seeds 3] [--epochs 10]

zoo has no such option: this script hooks it into zoo's own training, where it varies the maps at the cut of the last phase
anew in every epoch, each map by a draw that seed, epoch and image decide. Where only the head learns, whole maps are kept
for it in place of pooled features.

First: how nearly the network commutes with a flip and with a shift by one cell of its last map. That is how far the map of
the varied image is from the varied map of the image, in shares of the distance between the maps of two images drawn by
chance: 0 where both are the same, 1 where it might as well be another image's. In brackets the same without varying the map.

Then fine-tunes. For each seed each class is dealt out into five parts, and each part in turn is held out. What counts is
the last epoch, so that what is held out decides nothing and every image is answered once a seed. The cache is empty before
the first run of each way, whose epochs' seconds hold the computing of the features; later runs find most or all of them.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import zoo_core
from measuring import environment
from solved import with_folds
from zoo_core.catalog import open_catalog
from zoo_core.data.batches import Batches, ImageView
from zoo_core.data.on_device import normalised
from zoo_core.data.transforms import CENTRE
from zoo_core.errors import ZooError
from zoo_core.frozen.inputs import Inputs
from zoo_core.frozen.split import FrozenPrefix, SplitPoint, split_shapes
from zoo_core.training import resolve as resolve_module
from zoo_core.training.job import prepare
from zoo_core.training.phase_trainer import PhaseTrainer
from zoo_core.training.train_step import Batch

Edge = Literal["replicate", "constant"]  # what a shift leaves open is filled with the cells at the edge, or with zeros
Vary = Callable[[Tensor, int], Tensor]
"""Varies images or maps (B, C, H, W), of which so many cells stand for one of the last map."""


@dataclass(frozen=True)
class MapVariation:
    """Which maps a training sees: each flipped with a chance of one half, shifted by up to one cell to each side."""

    flip: bool = False
    shift: Edge | None = None

    def __call__(self, maps_BCHW: Tensor, indices: Sequence[int], seed: int, epoch: int) -> Tensor:
        padded_BCHW = functional.pad(maps_BCHW, (1, 1, 1, 1), mode=self.shift or "constant")
        drawn = [random.Random(f"{seed}/{epoch}/{index}") for index in indices]
        varied = [self._varied(one_CHW, chance) for one_CHW, chance in zip(padded_BCHW, drawn, strict=True)]
        return torch.stack(varied).contiguous(memory_format=torch.channels_last)

    def _varied(self, padded_CHW: Tensor, chance: random.Random) -> Tensor:
        flipped = chance.random() < 0.5
        top, left = (chance.randrange(3), chance.randrange(3)) if self.shift else (1, 1)
        height, width = padded_CHW.shape[-2] - 2, padded_CHW.shape[-1] - 2
        map_CHW = padded_CHW[:, top : top + height, left : left + width]
        return map_CHW.flip(-1) if flipped and self.flip else map_CHW


WAYS: dict[str, tuple[MapVariation | None, dict[str, Any]]] = {
    "as they are": (None, {}),
    "maps flipped": (MapVariation(flip=True), {}),
    "maps shifted": (MapVariation(shift="replicate"), {}),
    "maps shifted, zeros": (MapVariation(shift="constant"), {}),
    "maps flipped and shifted": (MapVariation(flip=True, shift="replicate"), {}),
    "mixup 0.2": (None, {"mixup": 0.2}),
    "4 views of pixels": (None, {"views": 4}),
}
LINE = "{:<12}{:<26}{:>16}{:>12}{:>11}{:>11}   {}"
COMPARED = 96  # images whose maps are compared
LAST = 4  # stages whose maps are compared


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy and seconds with varied feature maps.")
    parser.add_argument("stamps", type=Path, help="the folder of classes that stamps.py made, or any other")
    parser.add_argument("--strategies", nargs="*", default=["head-only", "last:1", "last:2"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3: 0, 1, 2)")
    arguments = parser.parse_args()
    print(environment("torch"), arguments.backbone, f"{arguments.epochs} epochs", sep=", ")
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"  # paths in a CSV file may not lead out of its folder
        shutil.copytree(arguments.stamps, images)
        os.environ["ZOO_CACHE"] = f"{folder}/cache"
        try:
            compare(arguments.backbone, arguments.stamps)
            print("\n" + LINE.format("strategy", "way", "correct", "val. loss", "first s", "later s", "each seed's"))
            for strategy in arguments.strategies:
                for way in arguments.ways:
                    row(arguments, images, strategy, way)
        except ZooError as error:
            raise SystemExit(f"error: {error}") from None


def flipped(maps_BCHW: Tensor, cell: int) -> Tensor:
    return maps_BCHW.flip(-1)


def shifted(maps_BCHW: Tensor, cell: int) -> Tensor:
    """One cell to the left, its right edge repeated."""
    return functional.pad(maps_BCHW, (0, cell, 0, 0), mode="replicate")[..., cell:]


def compare(backbone: str, stamps: Path) -> None:
    """Print how nearly the network commutes with a flip and a shift, after each of its last stages."""
    job = prepare(zoo_core.FinetuneConfig(backbone=backbone, data=str(stamps), strategy="head-only"), open_catalog())
    part, stages = job.source.parts["train"], job.plan.stages
    splits = [SplitPoint(place) for place in range(len(stages) - LAST + 1, len(stages) + 1)]
    front = FrozenPrefix(job.model, splits)
    chosen = np.random.default_rng(0).permutation(len(part))[:COMPARED]
    pixels_BCHW = Batches(part, job.preprocessing, 1, 1).load_batch([(int(index), CENTRE) for index in chosen])
    images_BCHW = normalised(pixels_BCHW, job.preprocessing, job.device)
    stride = job.backbone.spec.stride
    plain = through(front, images_BCHW)
    print(f"\n{'after':<12}{'flipped':>20}{'shifted by a cell':>24}")
    varied = {vary: through(front, vary(images_BCHW, stride)) for vary in (flipped, shifted)}
    for cut in splits:
        cells = plain[cut].shape[-1] * stride // job.preprocessing.size
        shares = []
        for vary, found in varied.items():
            between = distance(plain[cut], plain[cut].roll(1, 0))
            with_it, without = distance(found[cut], vary(plain[cut], cells)), distance(found[cut], plain[cut])
            shares.append(f"{with_it / between:.2f} ({without / between:.2f})")
        print(f"{stages[cut.stages - 1]:<12}{shares[0]:>20}{shares[1]:>24}", flush=True)


def through(front: FrozenPrefix, images_BCHW: Tensor) -> dict[SplitPoint, Tensor]:
    parts = [front(part_BCHW) for part_BCHW in torch.split(images_BCHW, 8)]
    return {cut: torch.cat([part[cut] for part in parts]) for cut in front.splits}


def distance(one_BCHW: Tensor, other_BCHW: Tensor) -> float:
    """The mean Euclidean distance of two images' maps."""
    return float((one_BCHW - other_BCHW).flatten(1).norm(dim=1).mean())


@dataclass(frozen=True)
class VariedInputs:
    """The inputs of an epoch, their maps varied."""

    inputs: Inputs
    variation: MapVariation
    seed: int
    epoch: int

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[tuple[Tensor, Tensor]]:
        whole, named = itertools.tee(groups)
        for (maps_BCHW, targets), group in zip(self.inputs.batches(whole), named, strict=True):
            yield self.variation(maps_BCHW, [index for index, _ in group], self.seed, self.epoch), targets


@contextmanager
def hooked(variation: MapVariation | None, seed: int) -> Iterator[None]:
    """Let a training of one phase, in one process, see varied maps; None leaves it as it is."""
    if variation is None:
        yield
        return
    batches = PhaseTrainer.batches

    def varied(phase: PhaseTrainer, epoch: int, start: int = 0) -> Iterator[Batch]:
        train = VariedInputs(phase.inputs.train, variation, seed, epoch)
        return batches(replace(phase, inputs=replace(phase.inputs, train=train)), epoch, start)

    def unpooled(*arguments: Any) -> dict[SplitPoint, tuple[int, ...]]:
        return {cut: shape for cut, shape in split_shapes(*arguments).items() if not cut.pooled}

    with (
        mock.patch.object(PhaseTrainer, "batches", varied),
        mock.patch.object(resolve_module, "split_shapes", unpooled),
    ):
        yield


def row(arguments: argparse.Namespace, images: Path, strategy: str, way: str) -> None:
    """Train one way with every seed and every part held out, and print what came out."""
    variation, settings = WAYS[way]
    correct, counts, losses, seconds = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = f"{folder}/cache"
        for seed in range(arguments.seeds):
            right = 0
            for table in with_folds(images, seed, held="val"):
                config = zoo_core.FinetuneConfig(
                    backbone=arguments.backbone,
                    data=str(table),
                    strategy=strategy,
                    epochs=arguments.epochs,
                    seed=seed,
                    out=f"{folder}/{table.stem}",
                    **{"augment": "crop-flip", "views": 1, **settings},
                )
                with hooked(variation, seed):
                    result = zoo_core.finetune(config)
                last, count = result.trained.epochs[-1], result.evaluation.images
                right += round(last.score * count)
                losses.append((last.loss, count))
                seconds.append(sum(report.seconds for report in result.trained.epochs))
                counts.append(count)
            correct.append(right)
    total = sum(counts)
    loss = sum(one * count for one, count in losses) / total
    figures = (f"{100 * sum(correct) / total:.1f} % of {total}", f"{loss:.3f}", f"{seconds[0]:.1f}")
    later, each = f"{statistics.median(seconds[1:]):.2f}", ", ".join(map(str, correct))
    print(LINE.format(strategy, way, *figures, later, each), flush=True)


if __name__ == "__main__":
    main()
