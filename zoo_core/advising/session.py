"""An advice from its first network to its last trial."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol

from zoo_core.advising.advice import Advice, advise, asked_for
from zoo_core.advising.frozen_case import FrozenCase, Watching, choose, measure_networks
from zoo_core.advising.networks import Network
from zoo_core.advising.probe import Probe
from zoo_core.advising.sample import Sample
from zoo_core.advising.strategies import USUAL, Tuner, Tuning
from zoo_core.catalog import Catalog
from zoo_core.choosing.cells import Failure
from zoo_core.choosing.cells import Watching as CellWatching
from zoo_core.choosing.folder import Folder


class Screen(Watching, CellWatching, Protocol):
    """Follows the networks and the trainings."""


class Session:
    """Measures networks, chooses one, and tries its strategies until the budget is spent.

    `executor` is called before the first trial: the executor that it gives trains the trials of a
    round, several at a time. The budget counts from `started`, a time of `time.monotonic`.
    `stopped_by` is then the signal that stopped it, if one did.
    """

    def __init__(
        self,
        sample: Sample,
        folder: Folder,
        catalog: Catalog,
        screen: Screen,
        *,
        budget: float,
        started: float,
        executor: Callable[[], Executor | None] = lambda: None,
    ) -> None:
        self.sample, self.folder, self.catalog, self.screen = sample, folder, catalog, screen
        self.budget, self.started, self.executor = budget, started, executor
        self.failures: list[Failure] = []
        self.stopped_by: int | None = None

    def advise(self, networks: Sequence[Network], strategies: Sequence[str] = ()) -> Advice | None:
        """The advice, or what there is of it when a signal came; None where no network was
        measured."""
        self.folder.establish()
        tried = tuple(strategies) or USUAL
        case = measure_networks(networks, self.sample, tried, self.folder.root, self.catalog, self.screen)
        self.failures += case.failures
        self.stopped_by = case.stopped_by
        if not case.measured:
            return None
        choice, tuning = choose(case, self.sample.part.targets, self.sample.groups_N), Tuning()
        if self.stopped_by is None:
            tuning = self._tune(case, choice.chosen, tried)
        return advise(
            case,
            choice,
            tuning,
            self.sample,
            self.folder.root,
            asked=asked_for(self.sample, networks, tried),
            budget=self.budget,
            seconds=time.monotonic() - self.started,
            stopped_by=self.stopped_by,
        )

    def left(self) -> float:
        """The seconds that are left of the budget."""
        return self.started + self.budget - time.monotonic()

    def _tune(self, case: FrozenCase, chosen: Probe, strategies: tuple[str, ...]) -> Tuning:
        """Try the strategies of the chosen network."""
        measured = case.of(chosen.backbone)
        tuner = Tuner(measured, chosen, self.sample, self.folder, self.catalog, self.screen, self.executor)
        tuning = tuner.tune(strategies, self.budget, self.left)
        self.failures += tuning.failures
        self.stopped_by = tuning.stopped_by
        return tuning
