"""`zoo advise`: advice on a network and a strategy, measured on your own images."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.choosing.grid import split_values
from zoo_core.cli.cells import end_cells, out_option
from zoo_core.cli.common import announce, catalog_of, progress_of
from zoo_core.cli.compare import axis_option
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.options import Command, Option, given_settings, options_of
from zoo_core.cli.pictures import draw_if_possible
from zoo_core.cli.runners import executor_for, runner_options
from zoo_core.data.places import slug
from zoo_core.devices.launched import is_distributed
from zoo_core.errors import UsageError, ZooError, shown
from zoo_core.paths import json_text, user_path, write_text
from zoo_core.settings import FinetuneConfig
from zoo_core.wording import megabytes

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from zoo_core.advising.advice import Advice
    from zoo_core.advising.networks import Network

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
CHOICES = "The choices"


class Budget(click.ParamType[float]):
    """A length of time, in seconds: 90s, 10m, 1.5h."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smh]?)", value.strip())
        if match is None:
            self.fail(f"'{shown(value)}' is no length of time like 90s, 10m or 1.5h.", param, ctx)
        return float(match[1]) * UNITS[match[2]]


@click.command(cls=Command)
@options_of("data")
@click.option(
    "--budget",
    type=Budget(),
    default="10m",
    show_default=True,
    metavar="TIME",
    help="Time for trials of strategies, such as 90s, 10m or 1h. Networks are compared in any case.",
)
@axis_option("backbone")
@axis_option("strategy")
@click.option(
    "--all", "fetched", cls=Option, group=CHOICES, is_flag=True, help="Fetch the weights of all other backbones, too."
)
@click.option("--yes", cls=Option, group=CHOICES, is_flag=True, help="Fetch them without the question.")
@out_option(CHOICES, "advice", "advise")
@runner_options
@options_of("task", "fit", "bad_images", "fix_list", "group_by", "seed", "size", "cache_gb", "device", "workers")
@json_option
@click.pass_context
def advise(
    ctx: click.Context,
    /,
    budget: float,
    backbones: str | None,
    strategies: str | None,
    fetched: bool,
    yes: bool,
    out: Path | None,
    on: str | None,
    jobs: int | str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Advise on a network and a strategy for your images, with reasons.

    Every network with weights on this machine looks at each image once, and a head is
    cross-validated on its features. Then strategies of the best network are tried in short
    trainings, as far as the budget goes. The same command goes on where it was stopped.

    \b
    zoo advise --data photos/
    zoo advise --data photos/ --budget 1h
    zoo advise --data photos/ --backbone efficientnet_lite0,resnet50 --strategy head-only,full
    """
    if is_distributed():
        raise ZooError("each training of zoo advise is one process. Start it without torchrun; --jobs trains several.")
    given = given_settings(ctx, settings)
    catalog = catalog_of(ctx)
    names = split_values("backbone", backbones) if backbones is not None else ()
    tried = split_values("strategy", strategies) if strategies is not None else ()
    for name in tried:
        catalog.strategy(name)
    if on is not None:
        catalog.runner(on)
    announce("loading the engine and the list of images")
    from zoo_core.advising.networks import find_networks, networks_named
    from zoo_core.advising.report import JSON, set_aside, to_dict
    from zoo_core.advising.sample import open_sample
    from zoo_core.advising.session import Session
    from zoo_core.advising.strategies import USUAL
    from zoo_core.choosing.folder import Folder
    from zoo_core.cli.advising import AdviceScreen

    networks = networks_named(names, catalog) if names else find_networks(catalog, fetched=fetched)
    _agree(networks, named=bool(names), yes=yes)
    started = time.monotonic()  # after a question that somebody may have thought about
    config = FinetuneConfig(backbone=networks[0].name, **given)
    with progress_of("inspecting the images") as scanning:
        sample = open_sample(config, catalog, scanning)
    folder = Folder(user_path(out) if out is not None else Path("runs") / f"advise-{slug(config.data_text)}")
    with folder.held(), AdviceScreen(sample) as screen, ExitStack() as stack:

        @cache
        def executor() -> Executor | None:
            count = len(tried or USUAL)
            own = executor_for(catalog, on, jobs, device=config.device, cells=count, message=screen.message)
            return stack.enter_context(own)

        session = Session(sample, folder, catalog, screen, budget=budget, started=started, executor=executor)
        advice = session.advise(networks, tried)
        if advice is not None:
            aside = set_aside(folder, advice)
            if aside is not None:
                screen.message(f"the advice on other choices that was here is now {aside.name}")
            write_text(folder.root / JSON, json_text(to_dict(advice)))
    if advice is not None:
        _show(advice, as_json=as_json)
    first = [f"The first, {one.title}, failed: {one.reason}" for one in session.failures[:1]]
    nothing = " ".join(["no network could be measured.", *first]) if advice is None else None
    end_cells(ctx, session.stopped_by, session.failures, nothing)


def _show(advice: Advice, *, as_json: bool) -> None:
    """Draw the picture, and print the tables and answers, or JSON."""
    from zoo_core.advising.report import JSON, to_dict
    from zoo_core.cli.advising import show_advice

    def draw(picture: Path) -> None:
        from zoo_core.advising.picture import draw

        draw(picture, advice)

    drawn = draw_if_possible((advice.directory / JSON).with_suffix(".png"), draw)
    if as_json:
        print_json(to_dict(advice))
    else:
        show_advice(advice, drawn=drawn)


def _agree(networks: list[Network], *, named: bool, yes: bool) -> None:
    """Tell how much is to be fetched, and ask whether it may be, unless it was asked for by name.

    Raises UsageError where nobody can be asked, and click.Abort for a no.
    """
    import sys

    missing = [one for one in networks if not one.is_here]
    if not missing:
        return
    total = sum(one.download for one in missing)
    unknown = "" if all(one.download for one in missing) else " and some of unknown size"
    count = f"{len(missing)} network{'s' * (len(missing) > 1)}"
    click.echo(f"The weights of {count} are not on this machine: about {megabytes(total)}{unknown}.", err=True)
    if named or yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked here whether to fetch them. Add --yes, or leave out --all.")
    click.confirm("Fetch them?", abort=True, err=True)
