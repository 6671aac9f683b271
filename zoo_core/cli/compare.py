"""`zoo compare`: train a grid of choices, and say which is the best and how surely."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo_core.choosing.grid import AXES, PLURALS, check_names, make_grid, split_shares, split_values
from zoo_core.cli.cells import end_cells, out_option
from zoo_core.cli.common import announce, catalog_of, progress_of
from zoo_core.cli.comparing import CellScreen, show_comparison
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.options import (
    COMPLETED,
    Command,
    Option,
    asked_settings,
    config_option,
    setting_options_without,
)
from zoo_core.cli.pictures import draw_if_possible
from zoo_core.cli.runners import executor_for, runner_options
from zoo_core.data.places import slug
from zoo_core.devices.launched import is_distributed
from zoo_core.errors import ZooError
from zoo_core.paths import json_text, user_path, write_text

if TYPE_CHECKING:
    from zoo_core.choosing.comparison import Comparison

F = TypeVar("F", bound=Callable[..., Any])
GRID = "The grid"
HELP = {
    "backbone": "Backbones to compare, separated by commas.",
    "strategy": "Strategies, separated by commas.",
    "head": "Heads, separated by commas; options may follow a name (linear,mlp:hidden=64,dropout=0.1).",
    "weights": "Initial weights, separated by commas: pretrained, none (from scratch), tags or files.",
}


def axis_option(axis: str) -> Callable[[F], F]:
    """The option of a setting that may have several values."""
    kind, _ = COMPLETED[axis]
    return click.option(
        f"--{axis}", PLURALS[axis], cls=Option, group=GRID, type=kind, metavar="A,B,...", help=HELP[axis]
    )


@click.command(cls=Command)
@axis_option("backbone")
@axis_option("strategy")
@axis_option("head")
@axis_option("weights")
@click.option(
    "--seeds", cls=Option, group=GRID, type=click.IntRange(1), default=1, help="Repeats, each with the next seed."
)
@click.option(
    "--folds",
    cls=Option,
    group=GRID,
    type=click.IntRange(2),
    help="Measure every image once, by a training that did not see it: a training for each fold.",
)
@click.option(
    "--fractions",
    cls=Option,
    group=GRID,
    metavar="A,B,...",
    help="Shares of the training images, for learning curves: 0.05,0.2,1.",
)
@out_option(GRID, "comparison", "compare")
@runner_options
@setting_options_without(*AXES, "from_run", "fold", "train_share", "out")
@config_option
@json_option
@click.pass_context
def compare(
    ctx: click.Context,
    /,
    seeds: int,
    folds: int | None,
    fractions: str | None,
    out: Path | None,
    on: str | None,
    jobs: int | str,
    config: Path | None,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Train every combination of backbones, strategies, heads and weights on your images; compare.

    Each training is an ordinary run in the folder of the comparison. The same command goes on where
    it was stopped, and with more values it trains only those that are not there yet. Exit code 1: a
    training failed.

    \b
    zoo compare --backbone resnet18,resnet50 --data photos/ --folds 5
    zoo compare --backbone resnet18 --strategy head-only,full --head linear,logreg --data photos/
    zoo compare --backbone resnet18 --weights pretrained,none --fractions 0.1,1 --data photos/
    zoo compare --backbone resnet18,resnet50 --data photos/ --folds 5 --on ray:10.0.0.1:6379
    """
    if is_distributed():
        raise ZooError("each training of zoo compare is one process. Start it without torchrun; --jobs trains several.")
    texts = {axis: chosen.pop(PLURALS[axis]) for axis in AXES}
    values = {axis: split_values(axis, text) for axis, text in texts.items() if text is not None}
    asked = asked_settings(ctx, config, chosen, values)
    asked.pop("out", None)
    shares = () if fractions is None else split_shares(fractions)
    grid = make_grid(asked, values, seeds=seeds, folds=folds, shares=shares)
    catalog = catalog_of(ctx)
    check_names(grid, catalog)
    if on is not None:
        catalog.runner(on)
    announce("loading the engine and the list of images")
    from zoo_core.choosing.cells import check_data, train_cells
    from zoo_core.choosing.comparison import compare as compared
    from zoo_core.choosing.folder import ANSWERS, Folder
    from zoo_core.choosing.order import shallow_first
    from zoo_core.choosing.reading import read_results

    grid = shallow_first(grid, catalog)
    data = grid.cells[0].config.data_text
    folder = Folder(user_path(out) if out is not None else Path("runs") / f"compare-{slug(data)}")
    with progress_of("inspecting the images") as scanning:
        source = check_data(grid, catalog, scanning)
    with folder.held(), CellScreen(grid, folder, source) as screen:
        folder.claim(grid)
        finished = sum(map(folder.is_finished, grid.cells))
        if finished:
            screen.message(f"{finished} finished before")
        device, cells = grid.cells[0].config.device, len(grid.cells) - finished
        with executor_for(catalog, on, jobs, device=device, cells=cells, message=screen.message) as executor:
            outcome = train_cells(grid, folder, catalog, screen, executor)
        comparison = compared(read_results(grid, folder, source), folder.root, data, outcome.failures)
        aside = folder.set_aside(grid)
        if aside is not None:
            screen.message(f"the answers of other choices that were here are now {aside.name}")
        write_text(folder.root / ANSWERS, json_text(comparison.to_dict()))
    drawn = draw_if_possible((folder.root / ANSWERS).with_suffix(".png"), lambda picture: _draw(picture, comparison))
    if as_json:
        print_json(comparison.to_dict())
    else:
        show_comparison(comparison, drawn=drawn)
    failed = [f"no training was finished. The first failed: {one.reason}" for one in outcome.failures]
    nothing = None if comparison.results.cells else next(iter([*failed, *comparison.results.faults]), None)
    end_cells(ctx, outcome.stopped_by, outcome.failures, nothing)


def _draw(picture: Path, comparison: Comparison) -> None:
    from zoo_core.choosing.picture import draw

    draw(picture, comparison)
