"""`zoo export RUN --to FORMAT`: a run as a file of another format."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from zoo_core.cli.common import announce, catalog_of, json_option, print_json, progress_of
from zoo_core.errors import printable

if TYPE_CHECKING:
    from zoo_core.settings import BadImages


@click.command()
@click.argument("run", type=click.Path())
@click.option("--to", required=True, metavar="FORMAT", help="NAME or NAME:options; `zoo list exporters` shows all.")
@click.option(
    "-o", "--out", type=click.Path(), help="The file (model.SUFFIX in the run's directory, here for a run of the Hub)."
)
@click.option("--data", help="Images to check it on, as for finetune (the held-out part of the run's own data).")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, max=1),
    default=1e-4,
    show_default=True,
    help="The largest difference of an answer; of a number above 1, as a share of it.",
)
@click.option(
    "--bad-images",
    type=click.Choice(["fail", "skip"]),
    help="Unreadable images: fail names them, skip leaves them out.",
)
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    run: str,
    to: str,
    out: str | None,
    data: str | None,
    tolerance: float,
    bad_images: BadImages | None,
    as_json: bool,
) -> None:
    """Write a run as one file of another format.

    The file is run on images before it is kept: where an answer differs from the run's by more
    than the tolerance, nothing is written.

    \b
    zoo export runs/first --to torch-export
    zoo export runs/first --to torch-export -o first.pt2 --data photos/
    """
    catalog = catalog_of(ctx)
    announce("loading the model")
    from zoo_core.exporting import export_run

    with progress_of("looking at the images") as scanning, progress_of("checking the file") as watch:
        made = export_run(
            run,
            to,
            out=out,
            data=data,
            tolerance=tolerance,
            bad_images=bad_images,
            catalog=catalog,
            scanning=scanning,
            watch=watch,
        )
    if as_json:
        print_json({"run": run, **asdict(made), "path": str(made.path)})
        return
    click.echo(f"{printable(str(made.path))}: {made.bytes / 1e6:.1f} MB, {made.format}")
    click.echo(
        f"Checked on {made.images} images ({made.part}): the largest difference of an answer is {made.difference:.1g}, "
        f"and {made.changed or 'none'} of the answers changed."
    )
