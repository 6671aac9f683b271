"""Batches of normalised images. Threads decode ahead; what is drawn at random depends on seed, epoch and image only.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo_core.config import Augment
from zoo_core.data.sources import Part
from zoo_core.data.transforms import Pixels, evaluation_pixels, training_pixels
from zoo_core.specs import Preprocessing

AHEAD = 3  # batches that are decoded while one is computed


@dataclass(frozen=True)
class Batches:
    """The images of a part, batch by batch."""

    part: Part
    preprocessing: Preprocessing
    batch_size: int
    workers: int

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Each image once, as in evaluation: bytes (B, C, H, W) and targets (B) or (B, K)."""
        return self._decoded(self._groups(range(len(self.part))), self._evaluation)

    def shuffled(self, *, seed: int, epoch: int, augment: Augment) -> Iterator[tuple[Tensor, Tensor]]:
        """Each image once, in the order and with the augmentation that seed and epoch decide."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self.part))
        groups = self._groups([int(index) for index in order])
        if len(groups) > 1 and len(groups[-1]) == 1:  # batch normalisation cannot learn from a single image
            groups[-2:] = [[*groups[-2], *groups[-1]]]
        return self._decoded(groups, lambda index: self._training(index, seed, epoch, augment))

    @property
    def training_steps(self) -> int:
        """How many batches `shuffled` gives."""
        full, rest = divmod(len(self.part), self.batch_size)
        return max(1, full + (rest > 1 or (rest == 1 and full == 0)))

    def _groups(self, order: Sequence[int]) -> list[Sequence[int]]:
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]

    def _evaluation(self, index: int) -> Pixels:
        return evaluation_pixels(self.part.images.read(index), self.preprocessing)

    def _training(self, index: int, seed: int, epoch: int, augment: Augment) -> Pixels:
        chance = random.Random(f"{seed}/{epoch}/{index}")
        return training_pixels(self.part.images.read(index), self.preprocessing, augment, chance)

    def _decoded(self, groups: list[Sequence[int]], decode: Callable[[int], Pixels]) -> Iterator[tuple[Tensor, Tensor]]:
        with ThreadPoolExecutor(self.workers, thread_name_prefix="zoo-decode") as pool:
            pending: list[list[Future[Pixels]]] = []
            try:
                for position, group in enumerate(groups):
                    for coming in groups[position + len(pending) : position + AHEAD]:
                        pending.append([pool.submit(decode, index) for index in coming])
                    pixels = np.stack([future.result() for future in pending.pop(0)])
                    yield torch.from_numpy(pixels), torch.from_numpy(self.part.targets[np.asarray(group)])
            finally:
                for futures in pending:
                    for future in futures:
                        future.cancel()


def normalised(pixels_BCHW: Tensor, preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Bytes to floats on `device`: scaled to 0..1, then normalised by channel."""
    mean = torch.tensor(preprocessing.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(preprocessing.std, device=device).view(1, -1, 1, 1)
    return (pixels_BCHW.to(device, non_blocking=True).float() / 255 - mean) / std


def default_workers() -> int:
    """As many decoding threads as there are cores to use, and no more than 16."""
    return max(1, min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
