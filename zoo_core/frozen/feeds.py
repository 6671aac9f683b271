"""Where each phase of a plan gets its numbers from: pixels, the frozen front computed anew, or what was kept of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from zoo_core.config import Precision
from zoo_core.data.batches import Batches
from zoo_core.devices.world import World
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.caching import Caching
from zoo_core.frozen.features import Features, Rows
from zoo_core.frozen.flow import Computed, Feed, Pixels
from zoo_core.frozen.front import Cut, Front, front_keys
from zoo_core.model.assemble import Model

VIEWS_OF_VAL = 1  # the centre


@dataclass(frozen=True)
class PhaseFeeds:
    """What a phase computes with: features at a cut, of training and of validation images."""

    cut: Cut
    train: Feed
    val: Feed


@dataclass
class Feeds:
    """The images of a run as its phases see them."""

    model: Model
    plan: Plan
    caching: Caching
    features: Features
    train: Batches
    val: Batches
    classes: tuple[str, ...]
    device: torch.device
    world: World
    precision: Precision = "float32"

    def enter(self, number: int, watch: Callable[[int, int], None]) -> PhaseFeeds:
        """Get ready for a phase: what its frozen front gives is computed and kept where the plan of caching says so."""
        pixels = Pixels(self.train, self.device), Pixels(self.val, self.device)
        front = self.plan.front(self.plan.phases[number])
        cut = self.caching.cuts[number]
        if front == 0:
            return PhaseFeeds(Cut(0), *pixels)
        if cut is None:
            computing = Front(self.model, [Cut(front)], self.precision)
            return PhaseFeeds(Cut(front), *(Computed(one, computing, Cut(front)) for one in pixels))
        self._build(number, watch)
        train = self.features.kept(cut, self.train, self.caching.views)
        return PhaseFeeds(cut, train, self.features.kept(cut, self.val, VIEWS_OF_VAL))

    def close(self) -> None:
        """Close the files of what is kept."""
        self.features.close()

    def _build(self, number: int, watch: Callable[[int, int], None]) -> None:
        """Compute what is missing at this phase's cut, and in the same pass at those of later phases."""
        self.features.keys = front_keys(self.model, self.train.preprocessing, self.features.identity)
        cuts = {cut for later, cut in enumerate(self.caching.cuts) if cut and self._still_until(cut, number, later)}
        rows = Rows(((self.train, self.caching.views), (self.val, VIEWS_OF_VAL)))
        self.features.build(lambda: Front(self.model, cuts, self.precision), cuts, rows, self.world, watch)

    def _still_until(self, cut: Cut, number: int, later: int) -> bool:
        """Whether the stages before a later phase's cut stay as they are from this phase on until then."""
        between = self.plan.phases[number : later + 1]
        return later >= number and all(self.plan.front(phase) >= cut.stages for phase in between)
