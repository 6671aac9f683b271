"""The largest batch of a server, by a trial of the network on this machine.

On a GPU large batches are the fastest. On a CPU often small ones are, whose values stay in its cache.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from zoo_core import Predictor

SIZES = (1, 2, 4, 8, 16, 32)
SECONDS, TURNS = 3.0, 5
ENOUGH = 0.97
"""Of the best images a second: the smallest batch that reaches it is taken, whose answers come
sooner."""


def fastest_batch(predictor: Predictor, *, sizes: Sequence[int] = SIZES, seconds: float = SECONDS) -> int:
    """The images of one pass from which on a larger batch is no faster.

    The sizes take turns, five of each within the time, so that a busy moment decides nothing. Large
    batches of a slow network may have none, nor have those for which there is no memory.
    """
    square = predictor.prepare(Image.new("RGB", (64, 64)))
    _answer(predictor, square, sizes[0])  # the first pass allocates memory
    fastest: dict[int, float] = {}
    end, tried = time.perf_counter() + seconds, list(sizes)
    for _ in range(TURNS):
        for size in tuple(tried):
            if time.perf_counter() > end:
                break
            try:
                taken = _answer(predictor, square, size) / size
            except Exception:  # no memory, in the words of torch or of a format: one image alone was answered
                tried = [one for one in tried if one < size]
                break
            fastest[size] = min(taken, fastest.get(size, taken))
    best = min(fastest.values())
    return min(size for size, taken in fastest.items() if taken <= best / ENOUGH)


def _answer(predictor: Predictor, square: Any, size: int) -> float:
    """The seconds of a batch of the same image."""
    pixels_BCHW = torch.from_numpy(np.stack([square] * size)).permute(0, 3, 1, 2)
    start = time.perf_counter()
    predictor.answer(pixels_BCHW, [""] * size)
    return time.perf_counter() - start
