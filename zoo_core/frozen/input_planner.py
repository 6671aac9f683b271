"""Where each phase of a plan gets its numbers from: pixels, the frozen front computed anew, or what was kept of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from zoo_core.data.batches import Batches
from zoo_core.devices.world import World
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.cache_items import CacheItems
from zoo_core.frozen.caching import Caching
from zoo_core.frozen.feature_cache import FeatureCache
from zoo_core.frozen.inputs import ComputedFeatures, ImageInputs, Inputs
from zoo_core.frozen.split import FrozenPrefix, SplitPoint, prefix_keys
from zoo_core.model.assemble import Model
from zoo_core.settings import Precision

VIEWS_OF_VAL = 1  # the centre


@dataclass(frozen=True)
class PhaseInputs:
    """What a phase computes with: features at a cut, of training and of validation images."""

    cut: SplitPoint
    train: Inputs
    val: Inputs


@dataclass
class InputPlanner:
    """The images of a run as its phases see them."""

    model: Model
    plan: Plan
    caching: Caching
    features: FeatureCache
    train: Batches
    val: Batches
    classes: tuple[str, ...]
    device: torch.device
    world: World
    precision: Precision = "float32"

    def enter(self, number: int, watch: Callable[[int, int], None]) -> PhaseInputs:
        """Get ready for a phase: what its frozen front gives is computed and kept where the plan of caching says so."""
        pixels = ImageInputs(self.train, self.device), ImageInputs(self.val, self.device)
        front = self.plan.frozen_depth(self.plan.phases[number])
        cut = self.caching.splits[number]
        if front == 0:
            return PhaseInputs(SplitPoint(0), *pixels)
        if cut is None:
            autocast = FrozenPrefix(self.model, [SplitPoint(front)], self.precision)
            return PhaseInputs(
                SplitPoint(front), *(ComputedFeatures(one, autocast, SplitPoint(front)) for one in pixels)
            )
        self._build(number, watch)
        train = self.features.kept(cut, self.train, self.caching.views)
        return PhaseInputs(cut, train, self.features.kept(cut, self.val, VIEWS_OF_VAL))

    def close(self) -> None:
        """Close the files of what is kept."""
        self.features.close()

    def _build(self, number: int, watch: Callable[[int, int], None]) -> None:
        """Compute what is missing at this phase's cut, and in the same pass at those of later phases."""
        self.features.keys = prefix_keys(self.model, self.train.preprocessing, self.features.identity, self.device)
        splits = {
            cut for later, cut in enumerate(self.caching.splits) if cut and self._frozen_until(cut, number, later)
        }
        rows = CacheItems(((self.train, self.caching.views), (self.val, VIEWS_OF_VAL)))
        self.features.build(lambda: FrozenPrefix(self.model, splits, self.precision), splits, rows, self.world, watch)

    def _frozen_until(self, cut: SplitPoint, number: int, later: int) -> bool:
        """Whether the stages before a later phase's cut stay as they are from this phase on until then."""
        between = self.plan.phases[number : later + 1]
        return later >= number and all(self.plan.frozen_depth(phase) >= cut.stages for phase in between)
