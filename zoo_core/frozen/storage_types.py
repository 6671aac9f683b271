"""Features as they are kept, after each other on disk, and as tensors again.

numpy has no bfloat16: its bits are kept as whole numbers.
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
    """How many bytes a number takes."""
    return np.dtype(ON_DISK[dtype]).itemsize


def type_of(dtype: CacheType) -> torch.dtype:
    """PyTorch's type of this name."""
    return getattr(torch, dtype)  # type: ignore[no-any-return]


def as_rows(features: Tensor, dtype: CacheType) -> npt.NDArray[Any]:
    """Features of this type, in the processor's memory, as a store takes them. Nothing is copied."""
    return features.view(getattr(torch, ON_DISK[dtype])).numpy()


def as_features(rows: Sequence[npt.NDArray[Any]], dtype: CacheType) -> Tensor:
    """What a store has of as many images, one after the other."""
    return torch.from_numpy(np.stack(rows)).view(type_of(dtype))
