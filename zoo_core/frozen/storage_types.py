"""Features as arrays on disk, and as tensors again.

numpy has no bfloat16: its bits are stored as whole numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo_core.settings import CacheType

ON_DISK: dict[CacheType, str] = {"float16": "float16", "bfloat16": "int16", "float32": "float32"}


def item_bytes(dtype: CacheType) -> int:
    """The bytes of one number."""
    return np.dtype(ON_DISK[dtype]).itemsize


def type_of(dtype: CacheType) -> torch.dtype:
    """The type of this name in torch."""
    return getattr(torch, dtype)  # type: ignore[no-any-return]


def as_rows(features: Tensor, dtype: CacheType) -> npt.NDArray[Any]:
    """Features of this type, on the CPU, as an array for a store. Nothing is copied."""
    return features.view(getattr(torch, ON_DISK[dtype])).numpy()


def as_features(rows: Sequence[npt.NDArray[Any]], dtype: CacheType) -> Tensor:
    """The arrays of a store, one per image, as a batch of features."""
    return torch.from_numpy(np.stack(rows)).view(type_of(dtype))
