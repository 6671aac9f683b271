"""Features as arrays on disk, and as tensors again.

numpy has no bfloat16: its bits are stored as whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo_core.settings import CacheType

READ_AT_ONCE = 1024  # arrays of a store: pooled features of so many images take some megabytes
BYTES_AT_ONCE = 2**26  # of larger ones, as float32: an array of a map may take 3 MB
ON_DISK: dict[CacheType, str] = {"float16": "float16", "bfloat16": "int16", "float32": "float32"}
EXACT: CacheType = "float32"
"""The type of cached validation features. Rounded ones would choose the best epoch by other answers
than those of the network that is reported and shipped."""


def item_bytes(dtype: CacheType) -> int:
    """The bytes of one number."""
    return np.dtype(ON_DISK[dtype]).itemsize


def images_at_once(shape: Sequence[int]) -> int:
    """The number of images whose features, of this shape each, are read together."""
    return min(READ_AT_ONCE, max(1, BYTES_AT_ONCE // (item_bytes(EXACT) * prod(shape))))


def type_of(dtype: CacheType) -> torch.dtype:
    """The type of this name in torch."""
    return getattr(torch, dtype)  # type: ignore[no-any-return]


def to_rows(features: Tensor, dtype: CacheType) -> Tensor:
    """Features in the type of the cache: maps (B, C, H, W) as (B, H, W, C), and all others as (B,
    1, 1, numbers)."""
    ordered = features.permute(0, 2, 3, 1) if features.ndim == 4 else features.flatten(1)[:, None, None]
    return ordered.to(type_of(dtype)).contiguous()


def from_rows(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """The features of images, of this shape each, from what `to_rows` gave, in float32."""
    found = rows.float()
    return found.permute(0, 3, 1, 2) if len(shape) == 3 else found.reshape(-1, *shape)


def as_rows(features: Tensor, dtype: CacheType) -> npt.NDArray[Any]:
    """Features of this type, on the CPU, as an array for a store. Nothing is copied."""
    return features.view(getattr(torch, ON_DISK[dtype])).numpy()


def as_features(rows: Sequence[npt.NDArray[Any]], dtype: CacheType) -> Tensor:
    """The arrays of a store, one per image, as a batch of features."""
    return torch.from_numpy(np.stack(rows)).view(type_of(dtype))
