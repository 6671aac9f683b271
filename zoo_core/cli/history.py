"""`zoo history`: the architectures in order of year, and the winners of the ImageNet challenge."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli.common import catalog_of, print_columns
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.errors import UsageError, printable
from zoo_core.paths import check_new_file
from zoo_core.wording import human_count

if TYPE_CHECKING:
    from zoo_core.history import ChallengeYear, Network

PICTURES = (".png", ".svg")


@click.command()
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw it too, to this PNG or SVG file.",
)
@json_option
@click.pass_context
def history(ctx: click.Context, out: Path | None, as_json: bool) -> None:
    """Tell the history of the architectures: their years, new ideas and errors, and the winners of
    the ImageNet challenge.

    \b
    zoo history
    zoo history -o history.png
    """
    if out is not None:
        if out.suffix.lower() not in PICTURES:
            raise UsageError(f"the picture is a PNG or an SVG file, and '{printable(out.name)}' ends in neither.")
        check_new_file(out, "--out")
    from zoo_core.history import history as told_by

    told = told_by(catalog_of(ctx))
    if out is not None:
        from zoo_core.history.picture import draw_history

        draw_history(out, told)
    if as_json:
        print_json({**asdict(told), "picture": None if out is None else str(out)})
        return
    _print_challenge(told.challenge)
    for text in (told.about, *told.notes, ""):
        click.echo(text)
    _print_networks(told.networks)
    if out is not None:
        click.echo(printable(f"The picture is {out}."))


def _print_challenge(years: tuple[ChallengeYear, ...]) -> None:
    columns = ("year", "winner", "error %", "with outside data", "second", "in zoo", "source")
    rows = [
        [
            str(one.year),
            one.winner,
            f"{one.error:.3g}",
            "-" if one.outside is None else f"{one.outside:.3g}",
            "-" if one.second_error is None else f"{one.second} {one.second_error:.3g}",
            one.backbone or "-",
            one.source.removeprefix("https://"),
        ]
        for one in years
    ]
    print_columns(columns, rows, right={"year", "error %", "with outside data"})


def _print_networks(networks: tuple[Network, ...]) -> None:
    columns = ("year", "network", "params", "error %", "the new idea")
    rows = [
        [
            str(one.year),
            one.name,
            human_count(one.params),
            "-" if one.top5_error is None else f"{one.top5_error:.3g}",
            one.novelty,
        ]
        for one in networks
    ]
    below = [
        "Errors of networks are top-5, of one network on one crop of ImageNet's validation images, with zoo's weights."
    ]
    print_columns(columns, rows, right={"year", "params", "error %"}, below=below)
