"""Features that are taken over from another store instead of being computed: exact ones, which are
rounded, and those of zoo 0.1.0, where a sample of them agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from zoo_core.data.store import lookup
from zoo_core.frozen.bfloat16 import SUFFIX
from zoo_core.frozen.cache_items import CacheItems
from zoo_core.frozen.inputs import IntArray
from zoo_core.frozen.old_store import SAMPLE, OldStore, agrees, is_old
from zoo_core.frozen.split import FrozenPrefix, SplitPoint
from zoo_core.frozen.storage_types import as_features, images_at_once, type_of

if TYPE_CHECKING:
    from zoo_core.frozen.feature_cache import FeatureCache


EXACT_BESIDE = "exact"
"""The file in a store of rounded features by which `mark_exact` marks it."""


def mark_exact(cache: FeatureCache, splits: Iterable[SplitPoint]) -> None:
    """Note in a store of rounded features that exact ones were cached beside it. Stores of versions
    that had rounded ones alone have no such note."""
    for split in splits:
        (cache.folder(split) / EXACT_BESIDE).touch()


def take_exact(cache: FeatureCache, split: SplitPoint, items: CacheItems, missing: IntArray) -> int:
    """Round the missing features that the exact cache has and can prove; return how many.

    They are those that would be computed, to the bit: a prefix computes in float32.
    """
    exact = cache.exact
    if exact is None or not exact.folder(split).is_dir():
        return 0
    keys = cache.keys_of(items, missing)
    keys = keys[exact.has(split, keys) & ~cache.has(split, keys)]
    entries, _ = exact.store(split).find(keys)
    step, taken = images_at_once(cache.shapes[split]), 0
    for start in range(0, len(keys), step):
        chunk = np.arange(start, min(start + step, len(keys)))
        chunk = chunk[exact.store(split).intact(entries[chunk])]  # others are computed anew
        if len(chunk):
            features = as_features(exact.store(split).read(entries[chunk]), exact.dtype)
            rounded = cache.checked(features.to(type_of(cache.dtype)), features)
            cache.store(split).add(keys[chunk].tolist(), list(rounded))
            taken += len(chunk)
    cache.store(split).commit()
    return taken


def has_old(cache: FeatureCache, split: SplitPoint, keys: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bool_]:
    """A mask of the keys whose features zoo 0.1.0 stored."""
    try:
        with OldStore(_old_folder(cache, split), cache.dtype) as old:
            return lookup(old.entries, keys)[1]
    except (OSError, ValueError):
        return np.zeros(len(keys), np.bool_)


def take_old(
    cache: FeatureCache,
    split: SplitPoint,
    prefix: Callable[[], FrozenPrefix],
    items: CacheItems,
    missing: IntArray,
) -> int:
    """Copy the missing features that zoo 0.1.0 stored, if a sample of them is what the prefix
    computes now; return how many."""
    try:
        old = OldStore(_old_folder(cache, split), cache.dtype)
    except (OSError, ValueError):
        return 0
    with old:
        keys = cache.keys_of(items, missing)
        entries, found = lookup(old.entries, keys)
        places = np.flatnonzero(found)
        if not len(places):
            return 0
        sample = places[np.unique(np.linspace(0, len(places) - 1, SAMPLE).astype(int))]
        computed = cache.compute(prefix(), items.take(missing[sample]))[split]
        if not agrees(old.read(entries[sample]), list(computed), cache.dtype):
            cache.message("the features cached by zoo 0.1.0 are not those of this network: they are computed again")
            return 0
        step = images_at_once(cache.shapes[split])
        for start in range(0, len(places), step):
            chunk = places[start : start + step]
            cache.store(split).add(keys[chunk].tolist(), old.read(entries[chunk]))
        cache.store(split).commit()
    cache.message(f"{len(places)} features cached by zoo 0.1.0 are used: {len(sample)} computed again agree")
    return len(places)


def _old_folder(cache: FeatureCache, split: SplitPoint) -> Path:
    """The folder of zoo 0.1.0, which computed in float32 alone: of other features there is none.

    Raises OSError where no store is as old.
    """
    stores = cache.root / "features"
    if not any(is_old(store) for store in stores.iterdir()):
        raise FileNotFoundError(stores)
    return stores / f"{cache.keys[split].old_name()}-{cache.dtype}{SUFFIX[cache.precision]}"
