"""The features of a network at every stage boundary, from one forward pass for each image.

Shapes: N images, F features, C channels, H height, W width, T tokens.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np
import numpy.typing as npt

from zoo_core.data.batches import Batches, default_workers
from zoo_core.data.eviction import make_room
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Part
from zoo_core.devices.world import World
from zoo_core.embedding.embedder import Embedder
from zoo_core.errors import UsageError
from zoo_core.frozen.cache_items import CacheItems
from zoo_core.frozen.cache_pair import feature_caches
from zoo_core.frozen.caching import cache_budget
from zoo_core.frozen.feature_cache import FeatureCache
from zoo_core.frozen.keys import KEY_LETTERS, FeatureKey
from zoo_core.frozen.split import FrozenPrefix, SplitPoint, averages_maps
from zoo_core.frozen.storage_types import EXACT, as_features, from_rows, item_bytes
from zoo_core.library import ONE_AT_A_TIME
from zoo_core.paths import cache_dir
from zoo_core.wording import megabytes

Floats = npt.NDArray[np.float32]
Shapes = Mapping[SplitPoint, tuple[int, ...]]


@dataclass
class Boundaries:
    """The cached features of a part at every stage boundary of a network: averaged over the map,
    and at the last one pooled as a head gets them."""

    stages: tuple[str, ...]
    cache: FeatureCache
    batches: Batches
    num_computed: int
    """The images that went through the network now; the cache had all others."""
    seconds: float
    """Of computing them."""
    splits: tuple[SplitPoint, ...] = field(default=())

    def __iter__(self) -> Iterator[tuple[str, Floats]]:
        """Each stage with its features (N, F), the first stage first."""
        for stage, split in zip(self.stages, self.splits, strict=True):
            entries = self.cache.cached(split, self.batches, 1).entries.reshape(-1)
            rows = as_features(self.cache.store(split).read(entries), EXACT)
            yield stage, from_rows(rows, self.cache.shapes[split]).reshape(len(entries), -1).numpy()

    def close(self) -> None:
        self.cache.close()


def compute_boundaries(
    embedder: Embedder,
    part: Part,
    watch: Watch,
    *,
    maps: Iterable[SplitPoint] = (),
    room: int = 0,
    message: Callable[[str], None] = lambda text: None,
) -> Boundaries:
    """Compute the features of a part at every boundary, where no cache has them, in one pass.

    The same pass caches those at `maps`, from which strategies train on, as far as they fit into
    `room` bytes. Raises UsageError where the averages alone do not fit into the cache.
    """
    stages = embedder.backbone.spec.stages
    shapes = {**embedder.shapes, **_averaged_shapes(embedder.shapes)}
    splits = tuple(SplitPoint(place, pooled=True) for place in range(1, len(stages) + 1))
    workers = embedder.config.workers or default_workers()
    cache, _ = feature_caches(
        embedder.backbone, shapes, augment="none", dtype=EXACT, device=embedder.device, workers=workers, message=message
    )
    cache.keys = _keys(embedder, shapes)
    batches = Batches(part, embedder.preprocessing, 1, workers)
    items, started = CacheItems(((batches, 1),)), time.perf_counter()
    wanted = [*splits, *_fitting(shapes, maps, len(part), room)]
    try:
        missing = len(cache.lacking(wanted, items))
        if missing:
            _make_room(embedder, cache, wanted, missing)
        with ONE_AT_A_TIME:  # plugins' networks may draw random numbers
            cache.build(_prefix_of(embedder, wanted), wanted, items, World(), watch)
    except BaseException:
        cache.close()
        raise
    return Boundaries(stages, cache, batches, cache.num_computed, time.perf_counter() - started, splits)


def _prefix_of(embedder: Embedder, splits: Iterable[SplitPoint]) -> Callable[[], FrozenPrefix]:
    return lambda: FrozenPrefix(embedder.model, splits)


def _averaged_shapes(shapes: Shapes) -> dict[SplitPoint, tuple[int, ...]]:
    """The shapes of averages: (C) of maps (C, H, W), and of tokens (T, C)."""
    last = max(split.stages for split in shapes)
    return {
        SplitPoint(split.stages, pooled=True): (shape[0] if len(shape) == 3 else shape[-1],)
        for split, shape in shapes.items()
        if not split.pooled and (split.stages < last or SplitPoint(last, pooled=True) not in shapes)
    }


def _keys(embedder: Embedder, shapes: Shapes) -> dict[SplitPoint, FeatureKey]:
    """The names of the features in the cache. Averages that no head pools so have names that follow
    from those of the features that are averaged."""
    keys, last = dict(embedder.keys), max(split.stages for split in shapes)
    for split in [split for split in keys if not split.pooled and split.stages < last]:
        if not (averages_maps(embedder.model.head) and len(shapes[split]) == 3):
            name = hashlib.sha256(f"averaged {keys[split].name}".encode()).hexdigest()[:KEY_LETTERS]
            keys[SplitPoint(split.stages, pooled=True)] = FeatureKey(name)
    return keys


def _fitting(shapes: Shapes, maps: Iterable[SplitPoint], images: int, room: int) -> list[SplitPoint]:
    """The latest of the maps that together fit into so many bytes."""
    fitting = []
    for split in sorted(set(maps), reverse=True):
        size = images * item_bytes(EXACT) * prod(shapes[split])
        if size > room:
            break
        fitting.append(split)
        room -= size
    return fitting


def _make_room(embedder: Embedder, cache: FeatureCache, splits: Iterable[SplitPoint], images: int) -> None:
    """Remove the least recently used caches if these features need their room."""
    needed = images * item_bytes(EXACT) * sum(prod(cache.shapes[split]) for split in splits)
    budget = cache_budget(embedder.config.cache_gb)
    if needed > budget:
        raise UsageError(
            f"the features at the stage boundaries take {megabytes(needed)}, and the cache may take {megabytes(budget)}. Give "
            "more with --cache-gb, or free the disk of the cache folder."
        )
    make_room(cache_dir(), needed, budget, keep={cache.folder(split) for split in splits})
