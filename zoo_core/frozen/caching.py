"""What a run keeps of the frozen front: decided before any work from the plan, the shapes and a budget."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from zoo_core.data.store import stores
from zoo_core.data.transforms import shorter_side
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.split import SplitPoint
from zoo_core.frozen.storage_types import item_bytes
from zoo_core.paths import cache_dir
from zoo_core.settings import FinetuneConfig
from zoo_core.specs import Preprocessing

HEAD_VIEWS, TAIL_VIEWS = 1, 4
"""How many views there are unless somebody says: where only heads learn, more cost twice the time and brought no accuracy
(benchmarks/views.py); stages that learn see several."""
FREE_SHARE = 0.8  # of what the disk has left


def cache_budget(gigabytes: float) -> int:
    """How many bytes of features and images may be kept: as many as asked for, and no more than the disk has room for.
    What is kept already has its room, and gives way where it is not needed."""
    place = cache_dir()
    kept = sum(size for _, size in stores(place))
    while not place.exists():
        place = place.parent
    return min(int(gigabytes * 1e9), int(FREE_SHARE * shutil.disk_usage(place).free) + kept)


@dataclass(frozen=True)
class Caching:
    """For each phase the cut at which features are kept, None where nothing is; how many views of a training image
    there are (0: a fresh one in every epoch); and how many bytes each phase's features take.

    `resized_bytes` is about how many bytes the images take that are kept after decoding, 0 when none are: they are where a run
    looks at an image more than once.
    """

    views: int
    splits: tuple[SplitPoint | None, ...]
    sizes: tuple[int, ...]
    resized_bytes: int = 0
    warning: str = ""

    @property
    def signature(self) -> str:
        """What decides the result: the views, and each phase's cut."""
        places = [
            "none" if cut is None else f"{cut.stages} pooled" if cut.pooled else str(cut.stages) for cut in self.splits
        ]
        return f"{self.views} views after stage {', '.join(places)}"

    @property
    def total(self) -> int:
        """The bytes of all that is kept."""
        return sum({cut: size for cut, size in zip(self.splits, self.sizes, strict=True) if cut is not None}.values())


def choose_caching(
    config: FinetuneConfig,
    plan: Plan,
    shapes: Mapping[SplitPoint, tuple[int, ...]],
    preprocessing: Preprocessing,
    *,
    train: int,
    val: int,
    budget: int,
) -> Caching:
    """Choose the latest cut that the frozen front allows and the budget holds, for each phase.

    Where the whole base is frozen that is after the head's pooling: 49 times smaller than before it, at 224 pixels.
    `train` and `val` count images, `budget` bytes. Views of training images are for phases that keep something; where
    the plan never freezes the front there is nothing to keep and every epoch sees a fresh view.
    """
    fronts = [plan.frozen_depth(phase) for phase in plan.phases]
    views = _views(config, plan)
    rows = train * views + val
    sizes = {cut: rows * prod(shape) * item_bytes(config.cache_dtype) for cut, shape in shapes.items()}
    chosen: dict[SplitPoint, int] = {}
    splits: list[SplitPoint | None] = []
    for front in fronts if views else ():
        room = budget - sum(chosen.values())
        fitting = [cut for cut in shapes if cut.stages <= front and (cut in chosen or sizes[cut] <= room)]
        best = max(fitting, default=None)
        if best is not None:
            chosen[best] = sizes[best]
        splits.append(best)
    if not chosen:
        views, splits = 0, [None] * len(fronts)
    resized_bytes = _resized_bytes(preprocessing, train + val)
    again = None in splits and plan.epochs > 1 and resized_bytes <= budget - sum(chosen.values())
    short = views != _views(config, plan) or any(
        cut and cut.stages != front for cut, front in zip(splits, fronts, strict=True)
    )
    warning = "less is kept than could be: the budget (--cache-gb) is too small" if any(fronts) and short else ""
    sizes_kept = tuple(chosen[cut] if cut else 0 for cut in splits)
    return Caching(views, tuple(splits), sizes_kept, resized_bytes if again else 0, warning)


def _resized_bytes(preprocessing: Preprocessing, images: int) -> int:
    """About what images take that were made small, at a ratio of 4 to 3."""
    return images * round(shorter_side(preprocessing) ** 2 * 4 / 3) * preprocessing.channels


def _views(config: FinetuneConfig, plan: Plan) -> int:
    if config.views == 0 or not any(plan.frozen_depth(phase) for phase in plan.phases):
        return 0
    if config.augment == "none":
        return 1
    most = 2 if config.augment == "flip" else plan.epochs
    heads_alone = all(plan.frozen_depth(phase) in (0, len(plan.stages)) for phase in plan.phases)
    return min(config.views or (HEAD_VIEWS if heads_alone else TAIL_VIEWS), max(1, most))


def view_in_epoch(epoch: int, index: int, views: int) -> int:
    """Which view of a training image an epoch sees: each in turn, and in every epoch a mixture of all."""
    return (epoch + index) % views
