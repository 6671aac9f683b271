"""The two caches of a run's features: rounded ones of training images, exact ones of all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from zoo_core.catalog import Choice
from zoo_core.frozen.feature_cache import FeatureCache
from zoo_core.frozen.split import SplitPoint
from zoo_core.frozen.storage_types import EXACT
from zoo_core.paths import cache_dir
from zoo_core.settings import CacheType
from zoo_core.settings.words import PrefixPrecision
from zoo_core.specs import BackboneSpec


def identity_of(backbone: Choice[BackboneSpec]) -> str:
    """Distribution, version, name and options; of a backbone that ends earlier the whole's."""
    return f"{backbone.entry.distribution} {backbone.entry.version} {replace(backbone, whole=None)}"


def feature_caches(
    backbone: Choice[BackboneSpec],
    shapes: Mapping[SplitPoint, tuple[int, ...]],
    *,
    augment: str,
    dtype: CacheType,
    device: torch.device,
    workers: int,
    message: Callable[[str], None] = lambda text: None,
    precision: PrefixPrecision = "float32",
    tiles: bool = True,
) -> tuple[FeatureCache, FeatureCache]:
    """The cache of a backbone's features in a type, computed in a `precision`, and that of exact
    ones, perhaps the same. Those that a prefix without `tiles` computes are cached apart."""
    exact = FeatureCache(
        root=cache_dir(),
        identity=identity_of(backbone) if tiles else f"{identity_of(backbone)}, no tiles",
        shapes=shapes,
        augment=augment,
        dtype=EXACT,
        device=device,
        workers=workers,
        message=message,
    )
    if precision != "float32":  # exact features are others, so none are rounded
        return replace(exact, dtype=dtype, precision=precision), exact
    return exact if dtype == EXACT else replace(exact, dtype=dtype, exact=exact), exact
