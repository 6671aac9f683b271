"""Features computed in bfloat16, on request: other numbers than float32, so they are cached apart,
and no exact ones. A short trial tells where that would save much time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from zoo_core.devices.kinds import kind_of
from zoo_core.devices.precision import autocast
from zoo_core.frozen.split import FrozenPrefix
from zoo_core.settings.words import PrefixPrecision

if TYPE_CHECKING:
    from zoo_core.frozen.cache_items import CacheItems
    from zoo_core.frozen.feature_cache import FeatureCache
    from zoo_core.frozen.inputs import IntArray

SUFFIX: dict[PrefixPrecision, str] = {"float32": "", "bfloat16": "-by-bfloat16"}
"""Of the folder of a cache."""
LONG = 60.0  # seconds that the missing features take, without which nothing is tried
TRIED = 2  # images
MOST = 0.3  # seconds of these; with more the trial would take too long
WORTH_TELLING = 1.2
CLOCK = time.perf_counter


def note_of_bfloat16(cache: FeatureCache, prefix: FrozenPrefix, items: CacheItems, missing: IntArray) -> str | None:
    """A sentence about bfloat16 where the `missing` features take long and it computes them much
    faster; on a CPU alone, in one thread, as its workers compute."""
    kind, share = kind_of(cache.device), len(missing) / cache.workers
    if share * MOST / TRIED < LONG:  # whatever the network is
        return None
    if cache.precision != "float32" or kind.is_accelerator or not kind.has_bfloat16_units:
        return None
    (batches, _), *_ = items.take(missing[:1])
    size, channels = batches.preprocessing.size, batches.preprocessing.channels
    generator = torch.Generator().manual_seed(0)
    images_BCHW = torch.randn(TRIED, channels, size, size, generator=generator).contiguous(
        memory_format=torch.channels_last
    )
    threads = torch.get_num_threads()

    def seconds(precision: PrefixPrecision) -> float:
        started = CLOCK()
        with autocast(precision, cache.device):
            prefix(images_BCHW)
        return CLOCK() - started

    torch.set_num_threads(1)
    try:
        seconds("float32")  # the first time costs extra
        exact = seconds("float32")
        if exact > MOST or share * exact / TRIED < LONG:
            return None
        seconds("bfloat16")
        gain = min(exact, seconds("float32")) / min(seconds("bfloat16") for _ in range(2))
    finally:
        torch.set_num_threads(threads)
    if gain < WORTH_TELLING:
        return None
    words = f"computes these features {gain:.1f} times as fast here, with other numbers than float32"
    return f"--prefix-precision bfloat16 {words}."
