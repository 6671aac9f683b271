"""The inputs of each phase of a plan: images, features computed anew, or cached features."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache

import torch

from zoo_core.data.batches import Batches
from zoo_core.data.decoders import Decoders
from zoo_core.devices.world import World
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.cache_items import CacheItems
from zoo_core.frozen.caching import Caching
from zoo_core.frozen.feature_cache import FeatureCache
from zoo_core.frozen.inputs import ComputedFeatures, ImageInputs, Inputs
from zoo_core.frozen.keys import prefix_keys
from zoo_core.frozen.split import FrozenPrefix, SplitPoint
from zoo_core.frozen.taking_over import EXACT_BESIDE, mark_exact
from zoo_core.model.assemble import Model

VIEWS_OF_VAL = 1  # the centre


@dataclass(frozen=True)
class PhaseInputs:
    """The inputs of a phase: features at its split point, of training and of validation images, and
    of test images where they are cached."""

    split: SplitPoint
    train: Inputs
    val: Inputs | None
    test: Inputs | None = None


@dataclass
class InputPlanner:
    """The images of a run as its phases take them: as they are, or as cached or computed features
    of the frozen prefix.

    `exact` caches the features of validation and test images; it is `features` itself if that
    rounds no number.
    """

    model: Model
    plan: Plan
    caching: Caching
    features: FeatureCache
    exact: FeatureCache
    train: Batches
    val: Batches | None
    """The images that choose the best epoch; None where all are trained on."""
    classes: tuple[str, ...]
    device: torch.device
    world: World
    test: Batches | None = None
    """The images of the test part, which no epoch sees."""
    caches_test: bool = False
    tiles: bool = True
    """Whether the prefix computes 3 x 3 convolutions of many channels from tiles."""
    decoders: Decoders | None = None
    """The processes that decode its images, which end with it."""

    @property
    def num_computed(self) -> int:
        """The number of images that passed the frozen prefix to be cached."""
        return sum(features.num_computed for features in self._caches)

    def enter(self, number: int, watch: Callable[[int, int], None]) -> PhaseInputs:
        """The inputs of a phase, after the missing features are cached; `watch` hears of (images
        done, images)."""
        train_images = ImageInputs(self.train, self.device)
        val_images = None if self.val is None else ImageInputs(self.val, self.device)
        depth = self.plan.frozen_depth(self.plan.phases[number])
        split = self.caching.splits[number]
        if depth == 0:
            return PhaseInputs(SplitPoint(0), train_images, val_images)
        if split is None:
            end = SplitPoint(depth)
            prefix = FrozenPrefix(self.model, [end], tiles=self.tiles)
            val_features = None if val_images is None else ComputedFeatures(val_images, prefix, end)
            return PhaseInputs(end, ComputedFeatures(train_images, prefix, end), val_features)
        of_val = self._build(number, watch)
        train = self.features.cached(split, self.train, self.caching.views)
        is_exact = of_val is self.exact
        of_test = [self.exact.cached(split, part, VIEWS_OF_VAL) for part in self._tests if is_exact]
        test = of_test[0] if of_test else None
        val = None if self.val is None else of_val.cached(split, self.val, VIEWS_OF_VAL)
        return PhaseInputs(split, train, val, test)

    def close(self) -> None:
        """Close the files of the caches, and end the processes that decode."""
        with ExitStack() as closed:
            for features in self._caches:
                closed.callback(features.close)
            if self.train.resized is not None:  # all parts share it
                closed.callback(self.train.resized.close)
            if self.decoders is not None:
                closed.callback(self.decoders.close)

    @property
    def _caches(self) -> tuple[FeatureCache, ...]:
        return (self.features,) if self.exact is self.features else (self.features, self.exact)

    @property
    def _tests(self) -> tuple[Batches, ...]:
        """The test part, where its features are cached."""
        return (self.test,) if self.test is not None and self.caches_test else ()

    def _build(self, number: int, watch: Callable[[int, int], None]) -> FeatureCache:
        """Compute the features that are missing at this phase's split point, and in the same pass
        at those of later phases; return the cache of the validation features."""
        keys = prefix_keys(self.model, self.train.preprocessing, self.features.identity, self.device)
        names = self.world.broadcast_object({split: key.name for split, key in keys.items()})
        keys = {split: replace(key, name=names[split]) for split, key in keys.items()}  # by chance for changed code
        for features in self._caches:
            features.keys = keys
        splits = {
            split
            for later, split in enumerate(self.caching.splits)
            if split and self._frozen_until(split, number, later)
        }
        train = (self.train, self.caching.views)
        val = () if self.val is None else ((self.val, VIEWS_OF_VAL),)
        of_val = self.features if val and self._rounded(splits, CacheItems(val)) else self.exact
        held_out = (*val, *((part, VIEWS_OF_VAL) for part in self._tests))
        if not held_out:
            builds = [(self.features, CacheItems((train,)))]
        elif of_val is not self.exact:
            builds = [(self.features, CacheItems((train, *val)))]
        elif self.exact is self.features:
            builds = [(self.features, CacheItems((train, *held_out)))]
        else:  # validation images first: a run that is stopped in between must not look like an older cache
            builds = [(self.exact, CacheItems(held_out)), (self.features, CacheItems((train,)))]
        prefix = cache(lambda: FrozenPrefix(self.model, splits, tiles=self.tiles))
        for features, items in builds:
            features.build(prefix, splits, items, self.world, watch)
        if of_val is not self.features and held_out:
            mark_exact(self.features, splits)
        return of_val

    def _rounded(self, splits: Collection[SplitPoint], val: CacheItems) -> bool:
        """Whether an older version cached the validation features, rounded like the others. They
        are read as they are: a run that finds them computes nothing, and gives the numbers that
        those versions gave."""
        if self.exact is self.features or self.features.precision != "float32":
            return False
        noted = [self.exact.folder(split) for split in splits]
        noted += [self.features.folder(split) / EXACT_BESIDE for split in splits]
        old = not any(path.exists() for path in noted) and not len(self.features.lacking(splits, val))
        return all(self.world.all_gather_object(old))

    def _frozen_until(self, split: SplitPoint, number: int, later: int) -> bool:
        """Whether the stages before a later phase's split point are frozen from this phase on until
        then."""
        between = self.plan.phases[number : later + 1]
        return later >= number and all(self.plan.frozen_depth(phase) >= split.stages for phase in between)
