"""The order of a grid's trainings, in which the features that one caches serve the next."""

from __future__ import annotations

from dataclasses import replace

from zoo_core.catalog import Catalog
from zoo_core.choosing.grid import Candidate, Grid
from zoo_core.errors import ZooError
from zoo_core.model.adapt import make_plan
from zoo_core.training.defaults import FEW_EPOCHS


def shallow_first(grid: Grid, catalog: Catalog) -> Grid:
    """The grid with the candidates of one base together in each repeat, in the order of their split
    points: features behind more stages are computed from those behind fewer, and no image passes
    the stages before twice."""
    bases = list(dict.fromkeys((one.backbone, one.weights) for one in grid.candidates))
    repeats = list(dict.fromkeys(cell.repeat for cell in grid.cells))
    depths = {one: _depth(one, catalog, grid.cells[0].config.epochs) for one in grid.candidates}
    cells = sorted(
        grid.cells,
        key=lambda cell: (
            repeats.index(cell.repeat),
            bases.index((cell.candidate.backbone, cell.candidate.weights)),
            depths[cell.candidate],
        ),
    )
    return replace(grid, cells=tuple(cells))


def _depth(candidate: Candidate, catalog: Catalog, epochs: int | None) -> int:
    """The fewest frozen stages of a phase that freezes any; all of them where the data decide."""
    stages = catalog.backbone(candidate.backbone).spec.stages
    if candidate.strategy == "auto":
        return len(stages)
    try:
        plan = make_plan(catalog.strategy(candidate.strategy), stages, epochs or FEW_EPOCHS)
    except ZooError:  # its trainings fail and say why
        return len(stages)
    return min(filter(None, map(plan.frozen_depth, plan.phases)), default=len(stages))
