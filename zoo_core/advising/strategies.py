"""The strategies of the chosen network: short, real fine-tunes, each an ordinary run directory.

Shapes: N images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from zoo_core.advising.frozen_case import VERSION, Measured
from zoo_core.advising.probe import Probe
from zoo_core.advising.rungs import FINAL_EPOCHS, Cost, Rungs, plan_rungs, survivors
from zoo_core.advising.sample import FOLDS, Sample
from zoo_core.attribution import naming_plugins
from zoo_core.catalog import Catalog
from zoo_core.choosing.cells import Failure, Watching, train_cells
from zoo_core.choosing.folder import Folder
from zoo_core.choosing.grid import Candidate, Cell, Grid, settings_asked
from zoo_core.choosing.statistics import Paired, paired
from zoo_core.errors import ZooError, reason_of, signal_of
from zoo_core.frozen.storage_types import EXACT
from zoo_core.json_index import read_index, write_index
from zoo_core.library import ONE_AT_A_TIME
from zoo_core.runs.answers import read_answers
from zoo_core.settings import FinetuneConfig
from zoo_core.tasks.grouped import group_numbers, share_interval
from zoo_core.tasks.metrics import Counts
from zoo_core.training.estimate import epoch_seconds
from zoo_core.training.job import prepare
from zoo_core.training.solve import only_solved

FROZEN_BASE = "head-only"
USUAL = (FROZEN_BASE, "last:1", "last:2", "full")
HEAD = "logreg"
"""The head of the frozen case, and the start of the others' heads: a fitted head does not distort
the features when stages begin to train (Kumar et al. 2022, arXiv 2202.10054)."""
VIEWS = 1
"""Of a frozen prefix the trials read the features of the image as it is, which the frozen case
cached."""
PLAN = "rungs.json"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A strategy after its longest training: its answers on the folds that were measured."""

    strategy: str
    epochs: int | None
    """None where the head alone is solved."""
    folds: int
    right: dict[tuple[str, str], bool]
    """Whether each measured image, by name and digest, was answered rightly."""
    groups: Mapping[tuple[str, str], str] | None = None
    """The group of each image, None where each counts for itself."""

    @property
    def accuracy(self) -> float:
        return sum(self.right.values()) / len(self.right)

    @property
    def rank(self) -> tuple[int, float]:
        """The best has the smallest: an accuracy over more folds counts before one over fewer
        images."""
        return -self.folds, -self.accuracy

    @property
    def interval(self) -> tuple[float, float]:
        return share_interval(np.array([*self.right.values()], dtype=np.float64), self._numbers(self.right))

    def against(self, other: Trial) -> Paired:
        """The comparison on the images that both answered."""
        shared = [name for name in self.right if name in other.right]
        first, second = (np.array([one.right[name] for name in shared], dtype=np.bool_) for one in (self, other))
        return paired(first, second, self._numbers(shared))

    def _numbers(self, images: Iterable[tuple[str, str]]) -> Counts | None:
        return None if self.groups is None else group_numbers([self.groups.get(one) for one in images])


@dataclass(frozen=True)
class Tuning:
    """The strategies that were tried, the best first, and the costs of all of them."""

    trials: tuple[Trial, ...] = ()
    costs: Mapping[str, Cost] = field(default_factory=dict)
    rungs: Rungs = field(default_factory=Rungs)
    failures: tuple[Failure, ...] = ()
    stopped_by: int | None = None

    @property
    def left_out(self) -> tuple[str, ...]:
        """The strategies for which the budget has no room."""
        return tuple(name for name in self.costs if name not in self.rungs.strategies)


class Rung(Grid):
    """Trainings of some strategies of one network, whose names say how long they are."""

    @property
    def axes(self) -> tuple[str, ...]:
        return ("backbone", "strategy")

    def title(self, cell: Cell) -> str:
        return f"{super().title(cell)}{self._length(cell, ', ', ' ')}"

    def name(self, cell: Cell) -> str:
        return f"{super().name(cell)}{self._length(cell, '-', '-')}"

    @staticmethod
    def _length(cell: Cell, before: str, between: str) -> str:
        return f"{before}{cell.config.epochs}{between}epochs" if cell.config.epochs else ""


class Tuner:
    """Tries strategies of one network on the images of a sample. The frozen base ends where its
    features were chosen; the other strategies have the whole network."""

    def __init__(
        self,
        measured: Measured,
        chosen: Probe,
        sample: Sample,
        folder: Folder,
        catalog: Catalog,
        watching: Watching,
        executor: Callable[[], Executor | None] = lambda: None,
    ) -> None:
        self.measured, self.chosen, self.sample, self.folder = measured, chosen, sample, folder
        self.catalog, self.watching, self.executor = catalog, watching, executor
        network = measured.network
        self.base = replace(
            sample.config,
            backbone=network.name,
            weights=network.weights,
            head=HEAD,
            views=VIEWS,
            cache_dtype=EXACT,
        )
        self.costs: dict[str, Cost] = {}
        self.failures: list[Failure] = []
        self.stopped_by: int | None = None

    def tune(self, strategies: Sequence[str], budget: float, left: Callable[[], float]) -> Tuning:
        """Halve the strategies within a budget of seconds, of which `left` says how many remain.

        The best of them and the frozen base, or the next, are measured on further folds as long as
        there is time.
        """
        trials: dict[str, Trial] = {}
        rungs = Rungs()
        try:
            rungs = self._planned(strategies, budget, left)
            self._halve(rungs, trials)
            self._measure_folds(rungs, trials, left)
        except KeyboardInterrupt as stop:  # between two trainings
            self.stopped_by = signal_of(stop)
        ordered = tuple(sorted(trials.values(), key=lambda one: (one.rank, rungs.strategies.index(one.strategy))))
        return Tuning(ordered, self.costs, rungs, tuple(self.failures), self.stopped_by)

    def _planned(self, strategies: Sequence[str], budget: float, left: Callable[[], float]) -> Rungs:
        """The costs and the rungs; those of an earlier call with the same budget, so that it goes
        on with the same trainings."""
        file = self.folder.root / PLAN
        key = [VERSION, settings_asked(self.base), self.chosen.base, *self.sample.key, list(strategies), budget]
        before = read_index(file, key, _parsed)
        if before is not None:
            self.costs, rungs = before
            return rungs
        costs = {}
        for name in strategies:
            try:
                with naming_plugins(), ONE_AT_A_TIME:
                    costs[name] = self._cost(name)
            except Exception as error:  # of this strategy alone
                self._note_failure(name, error)
        self.costs, rungs = costs, plan_rungs(costs, left())
        if not self.failures:
            write_index(file, key, [{name: asdict(cost) for name, cost in costs.items()}, asdict(rungs)])
        return rungs

    def _cost(self, strategy: str) -> Cost:
        """The seconds of a training, from its preparation and a few steps. No image goes through
        the network."""
        started = time.perf_counter()
        job = prepare(replace(self._config(strategy), epochs=FINAL_EPOCHS[0]), self.catalog)
        is_solved = all(only_solved(job.plan, phase, job.model.head) for phase in job.plan.phases)
        once = time.perf_counter() - started + self.chosen.seconds  # about that of fitting the head
        seconds = 0.0 if is_solved else epoch_seconds(job)
        return Cost(once, seconds, has_epochs=not is_solved, has_cache=job.caching.views > 0)

    def _halve(self, rungs: Rungs, trials: dict[str, Trial]) -> None:
        alive = rungs.strategies
        for epochs in rungs.epochs:
            for trained in self._train(dict.fromkeys(alive, epochs), 1):
                trials[trained.strategy] = trained
            scores = {name: trials[name].accuracy for name in alive if name in trials}
            if self.stopped_by is not None:
                return
            alive = survivors(scores)

    def _measure_folds(self, rungs: Rungs, trials: dict[str, Trial], left: Callable[[], float]) -> None:
        """Measure two finalists, or the only one, on the folds after the first, which hold the
        other images of the sample."""
        if not trials or not self.sample.is_whole:
            return
        first, *others = sorted(trials, key=lambda name: trials[name].rank)
        names = [first, FROZEN_BASE if FROZEN_BASE in others else others[0]] if others else [first]
        lengths = {name: trials[name].epochs for name in names}
        for fold in range(2, FOLDS + 1):
            needed = sum(self.costs[name].seconds(epochs or 1) for name, epochs in lengths.items())
            if self.stopped_by is not None or left() < needed:
                return
            found = self._train(lengths, fold)
            if len(found) < len(names):
                return
            for one in found:
                own = trials[one.strategy]
                trials[one.strategy] = replace(own, folds=own.folds + 1, right={**own.right, **one.right})

    def _train(self, lengths: Mapping[str, int | None], fold: int) -> list[Trial]:
        """Train strategies for their numbers of epochs on all images but those of a fold, and
        measure these."""
        cells = []
        folds = int(self.sample.config.fold.partition("/")[2])
        for name, epochs in lengths.items():
            own = epochs if self.costs[name].has_epochs else None
            config = replace(self._config(name), epochs=own, fold=f"{fold}/{folds}")
            candidate = Candidate(config.backbone, name, config.head, config.weights)
            cells.append(Cell(candidate, config.seed, config.train_share, fold, config))
        candidates = tuple(cell.candidate for cell in cells)
        rung = Rung(candidates, (self.base.seed,), (self.base.train_share,), folds, tuple(cells))
        self.folder.claim(rung)
        outcome = train_cells(rung, self.folder, self.catalog, self.watching, self.executor())
        self.failures += outcome.failures
        self.stopped_by = outcome.stopped_by
        found = []
        for cell in cells:
            answers = read_answers(self.folder.directory(cell)) if self.folder.is_finished(cell) else None
            if answers:
                right = {(answer.image, answer.digest): answer.is_right for answer in answers}
                strategy, epochs = cell.candidate.strategy, cell.config.epochs
                found.append(
                    Trial(strategy=strategy, epochs=epochs, folds=1, right=right, groups=self.sample.groups_by_image)
                )
        return found

    def _config(self, strategy: str) -> FinetuneConfig:
        backbone = self.chosen.base if strategy == FROZEN_BASE else self.base.backbone
        return replace(self.base, backbone=backbone, strategy=strategy)

    def _note_failure(self, strategy: str, error: Exception) -> None:
        reason = str(error) if isinstance(error, ZooError) else reason_of(error)
        self.failures.append(Failure(f"{self.base.backbone}, {strategy}", self.folder.root, reason))


def _parsed(data: Any) -> tuple[dict[str, Cost], Rungs]:
    costs, rungs = data
    found = {name: Cost(**one) for name, one in costs.items()}
    return found, Rungs(tuple(rungs["strategies"]), tuple(rungs["epochs"]), float(rungs["seconds"]))
