"""What bfloat16 saves in a frozen prefix (`--prefix-precision`): CPU milliseconds an image, with it and in float32.

    python benchmarks/prefix.py [--backbones resnet50 resnet18 efficientnet_lite0 timm-vit_small_patch16_224] [--rounds 5]

The whole base with random weights, its output pooled, as the cache's workers compute it: 8 images together in one thread,
after a first pass that does not count. The two take turns, and the least of each counts.
"""

from __future__ import annotations

import argparse
import time

import torch

import zoo_core
from measuring import environment, has_bfloat16
from zoo_core.devices.malloc import freed_memory_kept
from zoo_core.devices.precision import autocast
from zoo_core.frozen.split import FrozenPrefix, SplitPoint
from zoo_core.settings.words import PrefixPrecision

IMAGES = 8
PRECISIONS: tuple[PrefixPrecision, ...] = ("float32", "bfloat16")
BACKBONES = ("resnet50", "resnet18", "efficientnet_lite0", "timm-vit_small_patch16_224")


def main() -> None:
    parser = argparse.ArgumentParser(description="A frozen prefix in bfloat16 beside float32.")
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if not has_bfloat16():
        raise SystemExit("this processor has no units for bfloat16: there is nothing to measure.")
    torch.set_num_threads(1)
    print(environment("torch"))
    print("| network | float32, CPU ms an image | bfloat16 | gain | difference of the features |")
    print("|---|---|---|---|---|")
    for backbone in arguments.backbones:
        with freed_memory_kept():
            print(row(backbone, arguments.rounds), flush=True)


def row(backbone: str, rounds: int) -> str:
    """A row of the table; the difference is a share of the largest feature."""
    model = zoo_core.create_model(backbone, weights="none", num_classes=2).eval()
    split = SplitPoint(len(model.backbone.stages), pooled=True)
    prefix = FrozenPrefix(model, [split])
    images_BCHW = torch.randn(IMAGES, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    least, outputs = dict.fromkeys(PRECISIONS, float("inf")), {}
    for number in range(rounds + 1):
        for precision in PRECISIONS:
            started = time.process_time()
            with autocast(precision, torch.device("cpu")):
                outputs[precision] = prefix(images_BCHW)[split].float()
            if number:
                least[precision] = min(least[precision], time.process_time() - started)
    exact, rounded = outputs.values()
    apart = ((exact - rounded).abs().max() / exact.abs().max()).item()
    times = [seconds * 1000 / IMAGES for seconds in least.values()]
    return f"| {backbone} | {times[0]:.1f} | {times[1]:.1f} | {times[0] / times[1]:.2f} | {apart:.3f} |"


if __name__ == "__main__":
    main()
