"""Decides before any work which outputs of the frozen prefix a run caches: from the plan, the
shapes and a budget."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from zoo_core.data.eviction import stores
from zoo_core.data.transforms import fresh_view, resized_side
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.split import SplitPoint
from zoo_core.frozen.storage_types import EXACT, item_bytes
from zoo_core.paths import cache_dir
from zoo_core.settings import FinetuneConfig
from zoo_core.weights_specs import Preprocessing

HEAD_VIEWS, TAIL_VIEWS = 1, 4
"""The default number of cached views. For a head alone, more took twice the time and brought no
accuracy (benchmarks/views.py); trainable stages see several."""
FREE_SHARE = 0.8  # of the free space of the disk


def cache_budget(gigabytes: float) -> int:
    """The bytes that cached features and images may take: those asked for, as far as the disk has
    room.

    Stores that exist count as free space: they are evicted when their room is needed.
    """
    place = cache_dir()
    cached = sum(size for _, size in stores(place))
    while not place.exists():
        place = place.parent
    return min(int(gigabytes * 1e9), int(FREE_SHARE * shutil.disk_usage(place).free) + cached)


@dataclass(frozen=True)
class Caching:
    """The cache of a run, phase by phase."""

    views: int
    """Cached views of each training image; 0: every epoch sees a fresh one."""
    splits: tuple[SplitPoint | None, ...]
    """For each phase the split point whose features are cached, None where none are."""
    sizes: tuple[int, ...]
    """For each phase the bytes of its features."""
    resized_bytes: int = 0
    """About how many bytes the resized images take; 0 where each image is read only once, and none
    are cached."""
    warning: str = ""
    test: bool = False
    """Whether the features of the test part are cached, too: where one split point serves all phases
    and there is room beside all else."""

    @property
    def signature(self) -> str:
        """The part of this that decides the result of a run: the views, and the split point of each
        phase."""
        places = [
            "none" if split is None else f"{split.stages} pooled" if split.pooled else str(split.stages)
            for split in self.splits
        ]
        return f"{self.views} views after stage {', '.join(places)}"

    @property
    def total(self) -> int:
        """The bytes of all cached features."""
        sizes = zip(self.splits, self.sizes, strict=True)
        return sum({split: size for split, size in sizes if split is not None}.values())


def choose_caching(
    config: FinetuneConfig,
    plan: Plan,
    shapes: Mapping[SplitPoint, tuple[int, ...]],
    preprocessing: Preprocessing,
    *,
    train: int,
    val: int = 0,
    test: int = 0,
    budget: int,
) -> Caching:
    """Choose for each phase the latest split point inside the frozen prefix whose features fit into
    the budget.

    With the whole backbone frozen it lies behind the pooling of the head: 49 times smaller than
    before it, at 224 pixels. `train`, `val` and `test` count images, `budget` is in bytes. A plan
    that never freezes the first stage caches no features, and every epoch sees fresh views. Test
    images change no choice: their features are cached if they fit, too.
    """
    depths = [plan.frozen_depth(phase) for phase in plan.phases]
    views = _views(config, plan)
    bytes_per_number = train * views * item_bytes(config.cache_dtype) + val * item_bytes(EXACT)
    sizes = {split: bytes_per_number * prod(shape) for split, shape in shapes.items()}
    chosen: dict[SplitPoint, int] = {}
    splits: list[SplitPoint | None] = []
    for depth in depths if views else ():
        room = budget - sum(chosen.values())
        fitting = [split for split in shapes if split.stages <= depth and (split in chosen or sizes[split] <= room)]
        best = max(fitting, default=None)
        if best is not None:
            chosen[best] = sizes[best]
        splits.append(best)
    if not chosen:
        views, splits = 0, [None] * len(depths)
    resized_bytes = _resized_bytes(preprocessing, train + val)
    again = None in splits and plan.epochs > 1 and resized_bytes <= budget - sum(chosen.values())
    last, left = splits[-1], budget - sum(chosen.values()) - (resized_bytes if again else 0)
    of_test = 0 if last is None else test * item_bytes(EXACT) * prod(shapes[last])
    caches_test = 0 < of_test <= left and set(splits) == {last}
    if last is not None and caches_test:
        chosen[last] += of_test
    less = views != _views(config, plan) or any(
        split and split.stages != depth for split, depth in zip(splits, depths, strict=True)
    )
    warning = "the budget (--cache-gb) is too small to cache more" if any(depths) and less else ""
    cached_sizes = tuple(chosen[split] if split else 0 for split in splits)
    return Caching(views, tuple(splits), cached_sizes, resized_bytes if again else 0, warning, caches_test)


def _resized_bytes(preprocessing: Preprocessing, images: int) -> int:
    """About how many bytes resized images take, at an aspect ratio of 4 to 3."""
    return images * round(resized_side(preprocessing) ** 2 * 4 / 3) * preprocessing.channels


def _views(config: FinetuneConfig, plan: Plan) -> int:
    if config.views == 0 or not any(plan.frozen_depth(phase) for phase in plan.phases):
        return 0
    if config.augment == "none":
        return 1
    most = 2 if config.augment == "flip" else plan.epochs
    heads_alone = all(plan.frozen_depth(phase) in (0, len(plan.stages)) for phase in plan.phases)
    return min(config.views or (HEAD_VIEWS if heads_alone else TAIL_VIEWS), max(1, most))


def view_seen(epoch: int, index: int, views: int, seed: int) -> int:
    """The view of a training image in an epoch: one of so many cached ones, with 0 a fresh one."""
    return view_in_epoch(epoch, index, views) if views else fresh_view(seed, epoch)


def view_in_epoch(epoch: int, index: int, views: int) -> int:
    """The view of a training image in an epoch: each image sees its views in turn, and every epoch
    a mixture."""
    return (epoch + index) % views
