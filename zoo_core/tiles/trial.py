"""Whether a training is faster with convolutions from tiles, by a trial of one that many networks
have.

How much a quarter of the products saves depends on how fast a processor multiplies, and its memory
delivers tiles (`benchmarks/tiles.py`). The layouts of a step do not matter to it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import nullcontext

import torch
from torch.nn import functional

from zoo_core.devices.malloc import freed_memory_kept
from zoo_core.devices.processor import speed_key
from zoo_core.json_index import read_index, write_index
from zoo_core.paths import cache_dir
from zoo_core.tiles.trained import TilesInTraining

IMAGES, CHANNELS, HEIGHT = 8, 128, 28  # half a second in all, on two cores with AVX2
ROUNDS = 5
WORTH_IT = 1.1
CLOCK = time.perf_counter


def gain_of_tiles() -> float:
    """How many times as fast the convolution and its gradients are from tiles; the cache holds it
    by machine and versions.

    Shapes of the trial: B images, C channels in and K out, H height, W width.
    """
    key = [*speed_key(), IMAGES, CHANNELS, HEIGHT]
    file = cache_dir() / "tiles" / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.json"
    gain = read_index(file, key, float)
    if gain is None:
        seconds = _tried()
        gain = seconds[False] / seconds[True]
        write_index(file, key, gain)
    return gain


def _tried() -> Mapping[bool, float]:
    """The shortest seconds, with tiles and without, in turns; the first turn does not count."""
    random = torch.Generator().manual_seed(0)
    shapes = (IMAGES, CHANNELS, HEIGHT, HEIGHT), (CHANNELS, CHANNELS, 3, 3)
    drawn = (torch.randn(shape, generator=random).contiguous(memory_format=torch.channels_last) for shape in shapes)
    images_BCHW, weight_KC33 = (tensor.requires_grad_() for tensor in drawn)
    seconds = dict.fromkeys((True, False), float("inf"))
    with torch.enable_grad(), freed_memory_kept():  # as a training has it
        for number in range(ROUNDS + 1):
            for tiles in seconds:
                started = CLOCK()
                with TilesInTraining() if tiles else nullcontext():
                    outputs_BKHW = functional.conv2d(images_BCHW, weight_KC33, padding=1)
                torch.autograd.grad(outputs_BKHW, (images_BCHW, weight_KC33), outputs_BKHW.detach())
                if number:
                    seconds[tiles] = min(seconds[tiles], CLOCK() - started)
    return seconds
