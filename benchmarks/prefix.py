"""What a frozen prefix costs on a CPU, in CPU milliseconds an image: with direct 3 x 3 convolutions, as zoo computes it
(those with many channels from tiles, `zoo_core/tiles`), and in bfloat16 (`--prefix-precision`).

    python benchmarks/prefix.py [--backbones resnet50 resnet18 efficientnet_lite0 timm-vit_small_patch16_224] [--rounds 5]

The whole base with random weights, its output pooled, as the cache's workers compute it: 8 images together in one thread,
after a first pass that does not count. The three take turns, and the least of each counts. bfloat16 is left out where the
processor has no units for it, or oneDNN is kept from them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise

import torch

import zoo_core
from measuring import environment, has_bfloat16
from zoo_core.devices.malloc import freed_memory_kept
from zoo_core.devices.precision import autocast
from zoo_core.frozen.split import FrozenPrefix, SplitPoint
from zoo_core.settings.words import PrefixPrecision

IMAGES = 8
DIRECT, ZOO, BFLOAT16 = "direct", "zoo", "bfloat16"
BACKBONES = ("resnet50", "resnet18", "efficientnet_lite0", "timm-vit_small_patch16_224")


def main() -> None:
    parser = argparse.ArgumentParser(description="A frozen prefix: directly, from tiles, and in bfloat16.")
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    ways = (DIRECT, ZOO, BFLOAT16) if has_bfloat16() else (DIRECT, ZOO)
    torch.set_num_threads(1)
    print(environment("torch"))
    print(f"| network | {DIRECT}: CPU ms an image |" + "".join(f" {way} | gain | difference |" for way in ways[1:]))
    print("|---" * (2 + 3 * (len(ways) - 1)) + "|")
    for backbone in arguments.backbones:
        with freed_memory_kept():
            print(row(backbone, ways, arguments.rounds), flush=True)


def row(backbone: str, ways: Sequence[str], rounds: int) -> str:
    """A row of the table. A gain is over the column before it, a difference a share of the largest feature."""
    model = zoo_core.create_model(backbone, weights="none", num_classes=2).eval()
    split = SplitPoint(len(model.backbone.stages), pooled=True)
    prefixes = {way: FrozenPrefix(model, [split]) for way in ways if way != DIRECT}
    prefixes[DIRECT] = FrozenPrefix(model, [split], tiles=False)
    images_BCHW = torch.randn(IMAGES, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    least, outputs = dict.fromkeys(ways, float("inf")), {}
    for number in range(rounds + 1):
        for way in ways:
            precision: PrefixPrecision = "bfloat16" if way == BFLOAT16 else "float32"
            started = time.process_time()
            with autocast(precision, torch.device("cpu")):
                outputs[way] = prefixes[way](images_BCHW)[split].float()
            if number:
                least[way] = min(least[way], (time.process_time() - started) * 1000 / IMAGES)
    exact, cells = outputs[DIRECT], [f"{least[DIRECT]:.1f}"]
    for before, way in pairwise(ways):
        apart = ((exact - outputs[way]).abs().max() / exact.abs().max()).item()
        cells += [f"{least[way]:.1f}", f"{least[before] / least[way]:.2f}", f"{apart:.0e}"]
    return f"| {backbone} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
