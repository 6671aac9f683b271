"""The grid of a comparison: candidates, the choices that are compared, times repeats, folds and
shares.

A cell is one training of the grid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from zoo_core.catalog import Catalog
from zoo_core.data.augmentation import chosen_augmentation
from zoo_core.data.places import with_places
from zoo_core.errors import UsageError, printable, shown
from zoo_core.options import split_list
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.config import MAX_SEED
from zoo_core.settings.fields import settings_of
from zoo_core.training.tracking import trackers_named

AXES = ("backbone", "strategy", "head", "weights")
"""The settings that may have several values."""
PRETRAINED = "pretrained"
"""The word for a backbone's first weights, as a comparison speaks of them."""
PLURALS = {"backbone": "backbones", "strategy": "strategies", "head": "heads", "weights": "weights"}
MAX_CELLS = 10_000
"""The most trainings of a grid: at ten seconds each they take more than a day."""
MAX_NAME = 40  # characters of a setting in the name of a run directory
CACHE_TYPE = "float32"
"""With folds and seeds an image is both trained on and measured, and one cached forward serves both.
Without them it is the same, or more seeds would train the first cells again."""


@dataclass(frozen=True)
class Candidate:
    """The settings of one candidate, as they were asked for."""

    backbone: str
    strategy: str
    head: str
    weights: str

    def title(self, axes: Sequence[str]) -> str:
        """The candidate by the settings in which the candidates differ."""
        return ", ".join(self.words(axis) for axis in axes) or self.backbone

    def words(self, axis: str) -> str:
        """A setting for people."""
        value: str = getattr(self, axis)
        return {"none": "from scratch", "default": PRETRAINED}.get(value, value) if axis == "weights" else value


@dataclass(frozen=True)
class Cell:
    """One training: `config` has all of its settings but the directory."""

    candidate: Candidate
    seed: int
    share: float
    fold: int | None
    config: FinetuneConfig

    @property
    def repeat(self) -> tuple[int, float, int | None]:
        """The seed, share and fold: cells with the same have the same images in each part."""
        return self.seed, self.share, self.fold


@dataclass(frozen=True)
class Grid:
    """All cells, those of one repeat together, so that an interrupted comparison has compared
    something."""

    candidates: tuple[Candidate, ...]
    seeds: tuple[int, ...]
    shares: tuple[float, ...]
    folds: int | None
    cells: tuple[Cell, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """The settings in which the candidates differ."""
        return tuple(axis for axis in AXES if len({getattr(one, axis) for one in self.candidates}) > 1)

    def title(self, cell: Cell) -> str:
        """A cell by the settings in which cells differ, for people."""
        repeat = [f"seed {cell.seed}"] if len(self.seeds) > 1 else []
        repeat += [f"{100 * cell.share:g} % of the images"] if len(self.shares) > 1 else []
        repeat += [f"fold {cell.fold} of {self.folds}"] if cell.fold is not None else []
        return ", ".join(filter(None, (cell.candidate.title(self.axes), *repeat)))

    def name(self, cell: Cell) -> str:
        """The same for the name of a directory."""
        words = [_slug(getattr(cell.candidate, axis)) for axis in self.axes or ("backbone",)]
        words += [f"seed-{cell.seed}"] if len(self.seeds) > 1 else []
        words += [f"share-{cell.share:g}"] if len(self.shares) > 1 else []
        words += [f"fold-{cell.fold}-of-{self.folds}"] if cell.fold is not None else []
        return "-".join(words)


def make_grid(
    asked: Mapping[str, Any],
    values: Mapping[str, Sequence[str]],
    *,
    seeds: int = 1,
    folds: int | None = None,
    shares: Sequence[float] = (),
) -> Grid:
    """The grid of the settings `asked`, with several `values` for some of AXES; without `shares`
    theirs.

    Raises UsageError for a wrong setting, and for a grid of one cell or of more than MAX_CELLS.
    """
    asked = {"cache_dtype": CACHE_TYPE, **asked}
    base = FinetuneConfig.from_dict({**asked, **{axis: of_axis[0] for axis, of_axis in values.items()}})
    axes = [values.get(axis, (getattr(base, axis),)) for axis in AXES]
    all_shares = tuple(sorted(set(shares or (base.train_share,))))
    count = math.prod(map(len, axes)) * seeds * len(all_shares) * (folds or 1)
    if count > MAX_CELLS:
        raise UsageError(
            f"these are {count:,} trainings, and zoo compares at most {MAX_CELLS:,}. Give fewer --seeds, --folds, --fractions "
            "or values; several comparisons can follow each other in one --out."
        )
    candidates = tuple(Candidate(*chosen) for chosen in product(*axes))
    if base.seed + seeds - 1 > MAX_SEED:
        raise UsageError(f"--seeds {seeds} from --seed {base.seed} on leads beyond {MAX_SEED}, the largest seed.")
    all_seeds = tuple(range(base.seed, base.seed + seeds))
    numbers: list[int | None] = [None] if folds is None else list(range(1, folds + 1))
    cells = tuple(
        Cell(candidate, seed, share, fold, _config(base, candidate, seed, share, fold, folds))
        for seed, share, fold, candidate in product(all_seeds, all_shares, numbers, candidates)
    )
    if len(cells) == 1:
        raise UsageError(
            "one training compares nothing. Give several values to --backbone, --strategy, --head or --weights, separated "
            "by commas, or --seeds, --folds or --fractions; or train it with `zoo finetune`."
        )
    return Grid(candidates, all_seeds, all_shares, folds, cells)


def check_names(grid: Grid, catalog: Catalog) -> None:
    """Raise UsageError for the first name of a backbone, head, strategy, metric, augmentation
    or tracker that there is not."""
    common = grid.cells[0].config
    trackers_named(common.track, catalog)
    chosen_augmentation(common.augment, catalog)
    if common.metric != "auto":
        catalog.metric(common.metric)
    for one in grid.candidates:
        catalog.backbone(one.backbone)
        catalog.head(one.head)
        if one.strategy != "auto":
            catalog.strategy(one.strategy)


def split_values(axis: str, text: str) -> tuple[str, ...]:
    """ "linear,mlp:hidden=64,dropout=0.1" as ("linear", "mlp:hidden=64,dropout=0.1"), each value
    once.

    A piece `key=value` without a colon before it goes on with the options of the value before.
    Raises UsageError where there is no value.
    """
    try:
        values = split_list(text, f"--{axis}")
    except UsageError as error:
        listed = f" `zoo list {PLURALS[axis]}` shows all." if axis != "weights" else ""
        raise UsageError(f"{error}{listed}") from None
    if axis == "weights" and PRETRAINED in values:  # "default" is the same
        values = [PRETRAINED if value == "default" else value for value in values]
    return tuple(dict.fromkeys(values))


def split_shares(text: str) -> tuple[float, ...]:
    """ "0.05,0.2,1" as numbers. Raises UsageError for a text that is no share."""
    shares = []
    for piece in text.split(","):
        try:
            shares.append(float(piece))
        except ValueError:
            shares.append(0.0)
        if not 0 < shares[-1] <= 1:
            raise UsageError(
                f"--fractions are shares of the training images above 0 and at most 1, such as 0.05,0.2,1; got "
                f"'{shown(piece.strip())}'."
            )
    return tuple(shares)


def settings_asked(config: FinetuneConfig) -> dict[str, Any]:
    """The settings that decide a cell's result and are not at their default, by name: two cells
    with equal ones are one."""
    settings, values = settings_of(FinetuneConfig), with_places(config).to_dict()
    return {
        name: value
        for name, value in values.items()
        if not settings[name].per_machine and value != settings[name].default
    }


def _config(
    base: FinetuneConfig, candidate: Candidate, seed: int, share: float, fold: int | None, folds: int | None
) -> FinetuneConfig:
    weights = "default" if candidate.weights == PRETRAINED else candidate.weights
    held_out = base.fold if fold is None else f"{fold}/{folds}"
    return replace(
        base,
        backbone=candidate.backbone,
        strategy=candidate.strategy,
        head=candidate.head,
        weights=weights,
        seed=seed,
        train_share=share,
        fold=held_out,
    )


def _slug(text: str) -> str:
    """A setting as part of a file's name; of a path the last part."""
    last = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    return re.sub(r"[^\w.=+-]+", "-", printable(last))[:MAX_NAME].strip("-.") or "x"
