"""Training with 3 x 3 convolutions from tiles (`--tiles all`) beside direct ones, on a CPU.

    python benchmarks/tiles.py [--networks resnet18 resnet34 resnet50 vgg16] [--images 32] [--rounds 3]

First single convolutions as resnets have them, with their gradients, for 8 images and for more, those too that zoo
computes directly on this processor, as they have too few channels or tiles; then whole steps of
torchvision's networks with random weights: outputs and all gradients of random images of 224 x 224 pixels. Channels
last, freed memory is kept, all threads of torch. Both ways take turns, and the least of each counts. Differences are
those from float64, as a share of the largest number: the worst of outputs, gradients of images and of weights. The last
line is the finding of a run's trial.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional
from torchvision import models

from measuring import environment
from zoo_core.devices.malloc import freed_memory_kept
from zoo_core.tiles import trained
from zoo_core.tiles.products import FEWEST_CHANNELS
from zoo_core.tiles.trained import TilesInTraining
from zoo_core.tiles.trial import WORTH_IT, gain_of_tiles

CONVOLUTIONS = ((64, 56), (128, 28), (256, 14), (512, 7))  # channels and height of resnets' stages
WAYS = (False, True)  # from tiles


def main() -> None:
    parser = argparse.ArgumentParser(description="Training with convolutions from tiles beside direct ones.")
    parser.add_argument("--networks", nargs="+", default=["resnet18", "resnet34", "resnet50", "vgg16"])
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    capability = torch.backends.cpu.get_cpu_capability()
    print(environment("torch"), capability, "", sep="\n")
    with freed_memory_kept():
        print("| channels, height, images | direct: ms | tiles: ms | gain | direct: difference | tiles: difference |")
        print("|---|---|---|---|---|---|")
        for images in sorted({8, arguments.images}):
            for channels, height in CONVOLUTIONS:
                with patch.dict(FEWEST_CHANNELS, {capability: 1}), patch.object(trained, "FEWEST_TILES", 1):
                    print(convolution_row(channels, height, images, arguments.rounds), flush=True)
        print("\n| network | direct: ms an image | tiles: ms an image | gain |\n|---|---|---|---|")
        for name in arguments.networks:
            print(network_row(name, arguments.images, arguments.rounds), flush=True)
    gain = gain_of_tiles()
    print(f"\nThe trial of a run found {gain:.2f}: `--tiles auto` is {'all' if gain >= WORTH_IT else 'frozen'}.")


def convolution_row(channels: int, height: int, images: int, rounds: int) -> str:
    torch.manual_seed(0)
    shape = images, channels, height, height
    inputs_BCHW = torch.randn(shape).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = (torch.randn(channels, channels, 3, 3) / (3 * channels**0.5)).requires_grad_()
    weights_BCHW = torch.randn(shape).contiguous(memory_format=torch.channels_last)

    def results(*given: Tensor) -> tuple[Tensor, ...]:
        outputs_BCHW = functional.conv2d(given[0], given[1], padding=1)
        return outputs_BCHW.detach(), *torch.autograd.grad(outputs_BCHW, given[:2], given[2])

    given = inputs_BCHW, weight, weights_BCHW
    exact = results(*(tensor.detach().double().requires_grad_() for tensor in given))
    seconds = in_turns(lambda: results(*given), 5 * rounds)
    apart = []
    for tiles in WAYS:
        with TilesInTraining() if tiles else nullcontext():
            pairs = zip(results(*given), exact, strict=True)
            apart.append(f"{max(float((one - other).abs().max() / other.abs().max()) for one, other in pairs):.0e}")
    direct, tiled = (one * 1000 for one in seconds)
    name = f"{channels}, {height}, {images}"
    return f"| {name} | {direct:.1f} | {tiled:.1f} | {direct / tiled:.2f} | {' | '.join(apart)} |"


def network_row(name: str, images: int, rounds: int) -> str:
    torch.manual_seed(0)
    network = models.get_model(name).train().to(memory_format=torch.channels_last)
    images_BCHW = torch.randn(images, 3, 224, 224).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        network.zero_grad(set_to_none=True)
        network(images_BCHW).square().mean().backward()

    direct, tiled = (one * 1000 / images for one in in_turns(step, rounds))
    return f"| {name} | {direct:.1f} | {tiled:.1f} | {direct / tiled:.2f} |"


def in_turns(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The least seconds, directly and from tiles; the first turn does not count."""
    least = dict.fromkeys(WAYS, float("inf"))
    for number in range(rounds + 1):
        for tiles in WAYS:
            started = time.perf_counter()
            with TilesInTraining() if tiles else nullcontext():
                work()
            if number:
                least[tiles] = min(least[tiles], time.perf_counter() - started)
    return least[False], least[True]


if __name__ == "__main__":
    main()
