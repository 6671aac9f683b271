"""A backbone that embeds images: it computes features once and caches them where trainings look."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import prod
from pathlib import Path

import numpy as np
import torch

from zoo_core.catalog import Catalog, Choice, check_stage
from zoo_core.data.augmentation import UNCHANGED, Augmentation, chosen_augmentation
from zoo_core.data.batches import Batches, default_workers
from zoo_core.data.eviction import make_room
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Source
from zoo_core.data.transforms import CENTRE
from zoo_core.devices.find import find_device
from zoo_core.devices.precision import as_usual
from zoo_core.devices.proof import placed
from zoo_core.devices.world import World
from zoo_core.embedding import POOLED
from zoo_core.errors import UsageError
from zoo_core.frozen.cache_items import CacheItems
from zoo_core.frozen.cache_pair import feature_caches, identity_of
from zoo_core.frozen.caching import cache_budget
from zoo_core.frozen.feature_cache import FeatureCache
from zoo_core.frozen.inputs import IntArray
from zoo_core.frozen.keys import FeatureKey, prefix_keys
from zoo_core.frozen.split import FrozenPrefix, SplitPoint, fixed_beginning, split_shapes
from zoo_core.frozen.storage_types import EXACT, item_bytes
from zoo_core.frozen.table import FeatureTable
from zoo_core.frozen.taking_over import mark_exact
from zoo_core.frozen.view_identity import view_identity
from zoo_core.library import ONE_AT_A_TIME, run_or_backbone
from zoo_core.model.assemble import Model, build_head_for
from zoo_core.model.shapes import stage_shapes
from zoo_core.paths import cache_dir
from zoo_core.predictors import open_run
from zoo_core.settings import FinetuneConfig
from zoo_core.specs import BackboneSpec
from zoo_core.training.defaults import default_augment
from zoo_core.training.job import fitted
from zoo_core.weights.resolve import load_backbone, resolve_weights
from zoo_core.weights_specs import Preprocessing
from zoo_core.wording import megabytes

VIEWS = {"none": 1, "flip": 2}
"""The views that an image has under augmentations that are not random."""


@dataclass(frozen=True)
class Embedder:
    """A base with its weights, the preprocessing of its images, and the stage that is read.

    `config` holds the settings as a fine-tune has them; its `views` and the `augment` say which
    views of an image are computed.
    """

    config: FinetuneConfig
    backbone: Choice[BackboneSpec]
    model: Model
    preprocessing: Preprocessing
    at: str
    split: SplitPoint
    shapes: Mapping[SplitPoint, tuple[int, ...]]
    device: torch.device
    augment: Augmentation | None = None
    """The augmentation asked for, None: zoo decides."""
    is_run: bool = False
    """Whether the base is that of a run."""

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one image's features; pooled ones are a vector."""
        shape = self.shapes[self.split]
        return (prod(shape),) if self.split.pooled else shape

    @cached_property
    def keys(self) -> dict[SplitPoint, FeatureKey]:
        """The names of the features in the cache: see `prefix_keys`."""
        return prefix_keys(self.model, self.preprocessing, identity_of(self.backbone), self.device)

    def table(
        self, source: Source, watch: Watch | None = None, message: Callable[[str], None] = lambda text: None
    ) -> FeatureTable:
        """The table of a data set's features. Those that no cache has are computed and cached.

        `watch` is told (views done, views), and `message` hears of a wait. Raises UsageError where
        they do not fit into the budget, DataError for images that changed since they were scanned,
        and TrainingError for features that are no finite numbers or that the number type cannot
        hold.
        """
        views, workers = self.config.views or 1, self.config.workers or default_workers()
        augment = self._augment(source, views)
        features, exact = feature_caches(
            self.backbone,
            self.shapes,
            augment=view_identity(augment),
            dtype=self.config.cache_dtype,
            device=self.device,
            workers=workers,
            message=message,
        )
        features.keys = exact.keys = self.keys
        batches = [Batches(part, self.preprocessing, 1, workers, augment) for part in source.parts.values()]
        try:
            with ONE_AT_A_TIME, as_usual():  # plugins' networks may draw random numbers
                self._build(features, exact, batches, views, watch or (lambda done, total: None))
            entries = np.concatenate([features.cached(self.split, own, views).entries for own in batches])
            # Keys without the network, which a table would else keep in memory.
            features.keys = exact.keys = {split: FeatureKey(key.name) for split, key in self.keys.items()}
        except BaseException:
            features.close()
            raise
        finally:
            if exact is not features:
                exact.close()
        table = FeatureTable(
            source=source,
            backbone=self.config.backbone,
            at=self.at,
            views=views,
            image_shape=self.image_shape,
            num_computed=features.num_computed + (exact.num_computed if exact is not features else 0),
            cache=features,
            split=self.split,
            entries=entries,
        )
        weakref.finalize(table, features.close)
        return table

    def _augment(self, source: Source, views: int) -> Augmentation:
        """The augmentation that makes the views; a single view is the image as it is."""
        if views == 1:
            return UNCHANGED
        augment = self.augment
        if augment is None:
            augment = Augmentation(default_augment(next(iter(source.parts.values())), self.preprocessing)[0])
        most = VIEWS.get(augment.text, views)
        if views > most:
            raise UsageError(
                f"with the augmentation '{augment.text}' an image has {most} view{'s' * (most > 1)}, and {views} "
                f"are asked for. Give --views {most}, or --augment crop-flip."
            )
        return augment

    def _build(
        self, features: FeatureCache, exact: FeatureCache, batches: list[Batches], views: int, watch: Watch
    ) -> None:
        """Compute the missing features. Those of the centre are cached exactly as well, so that a
        later training finds them in whichever part it puts the image."""
        items = CacheItems(tuple((own, views) for own in batches))
        missing = features.lacking([self.split], items)
        centres = _centres(missing, batches, views)
        numbers = len(missing) * item_bytes(features.dtype)
        if exact is not features:
            numbers += len(centres) * item_bytes(EXACT)
        if numbers:
            numbers_each = prod(self.shapes[self.split])
            own = {one.folder(self.split) for one in (features, exact)}

            def exact_alone() -> int:
                return len(exact.lacking([self.split], items)) * item_bytes(EXACT) * numbers_each

            self._make_room(numbers * numbers_each, exact_alone, own)
        prefix = cache(lambda: FrozenPrefix(self.model, [self.split]))
        if exact is not features and len(centres):
            exact.build(prefix, [self.split], centres, World(), watch)
        features.build(prefix, [self.split], items, World(), watch)
        if exact is not features and len(centres):
            mark_exact(features, [self.split])

    def _make_room(self, needed: int, exact_alone: Callable[[], int], own: set[Path]) -> None:
        """Remove the least recently used caches if these features need their room.

        A rounded feature of the centre is cached exactly as well, so the exact ones alone may take
        less.
        """
        budget = cache_budget(self.config.cache_gb)
        if needed > budget:
            needed_exact = exact_alone()
            smaller = (
                f"--cache-dtype float32, which takes {megabytes(needed_exact)}, " if needed_exact <= budget else ""
            )
            fewer = ["a later stage"] * (self.at != POOLED) + ["fewer views"] * ((self.config.views or 1) > 1)
            free = "free the disk of the cache folder"
            more = f", {free}, or take {' or '.join(fewer)}" if fewer else f", or {free}"
            raise UsageError(
                f"the features at {self.at} take {megabytes(needed)}, and the cache may take {megabytes(budget)}. Give "
                f"{smaller}more with --cache-gb{more}."
            )
        make_room(cache_dir(), needed, budget, keep=own)


def _centres(missing: IntArray, batches: list[Batches], views: int) -> CacheItems:
    """The images of which the centre is among missing items, which are numbered by part, image and
    view."""
    found, start = [], 0
    for own in batches:
        end = start + views * len(own.part)
        numbers = missing[(missing >= start) & (missing < end)] - start
        chosen = numbers[numbers % views == CENTRE] // views
        found.append((replace(own, part=own.part.take(chosen.tolist())), 1))
        start = end
    return CacheItems(tuple(found))


def open_embedder(name: str | Path, config: FinetuneConfig, at: str, catalog: Catalog) -> Embedder:
    """Open a backbone, or the base of a run, by its name or place; `config` has the settings.

    The caller's stream of random numbers stays where it is. Raises as `load` does, and UsageError
    for an unknown stage and for an image size that the backbone cannot take.
    """
    with ONE_AT_A_TIME, as_usual(), torch.random.fork_rng(devices=()):
        return _opened(name, config, at, catalog)


def _opened(name: str | Path, config: FinetuneConfig, at: str, catalog: Catalog) -> Embedder:
    """`open_embedder`, which draws the initial weights of the base or of a head."""
    device = find_device(config.device)
    found = run_or_backbone(name, config.weights, catalog)
    if isinstance(found, Path):
        run = open_run(found, catalog, device)
        assert isinstance(run.network, Model)
        backbone, base, preprocessing = run.network.design.backbone, run.network.backbone, run.preprocessing
        head, split = run.network.head, split_at(backbone.spec, at)
    else:
        backbone, split = found, split_at(found.spec, at)  # a wrong stage ends before a download
        start = resolve_weights(backbone, config.weights)
        preprocessing = start.preprocessing
        # From scratch: the weights that a fine-tune of this seed begins with.
        torch.default_generator.manual_seed(config.seed)
        base, _ = load_backbone(backbone, start)
        head = None
    preprocessing = fitted(preprocessing, config, backbone.spec)
    shapes = stage_shapes(base, preprocessing.channels, preprocessing.size)
    if head is None or not fixed_beginning(head):
        choice = catalog.head(config.head)
        head = build_head_for(shapes, backbone, choice, num_outputs=1, task="classification")
    return Embedder(
        config=config,
        backbone=backbone,
        model=placed(Model(base, head).eval(), device, preprocessing, str(backbone)),
        preprocessing=preprocessing,
        at=at,
        split=split,
        shapes=split_shapes(shapes, head),
        device=device,
        augment=chosen_augmentation(config.augment, catalog),
        is_run=isinstance(found, Path),
    )


def split_at(spec: BackboneSpec, at: str) -> SplitPoint:
    """The place of a stage's output, or of the pooled features. Raises UsageError that lists the
    stages."""
    if at == POOLED:
        return SplitPoint(len(spec.stages), pooled=True)
    check_stage(spec, at, also=[POOLED])
    return SplitPoint(spec.stages.index(at) + 1)
