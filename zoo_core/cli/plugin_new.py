"""`zoo plugin new`: writes a complete package for a plugin, and names the next commands."""

from __future__ import annotations

from pathlib import Path

import click

from zoo_core.cli.common import announce
from zoo_core.errors import printable

KINDS = ("backbone", "head", "strategy", "dataset", "command", "exporter", "metric", "augmentation", "tracker")


@click.command()
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(KINDS), default="backbone", show_default=True, help="The spec that it brings."
)
@click.option(
    "--from",
    "source",
    default="blank",
    show_default=True,
    metavar="torchvision:ARCH|timm:ARCH|blank",
    help="The network of a backbone, cut into stages.",
)
def new(name: str, kind: str, source: str) -> None:
    """Write a plugin that passes its own tests into the new folder zoo-NAME.

    It asks nothing, and changes no file that exists.

    \b
    zoo plugin new mynet
    zoo plugin new mynet --from torchvision:convnext_tiny
    zoo plugin new myhead --kind head
    """
    from zoo_core.cli.main import COMMANDS

    if source != "blank":
        announce(f"cutting {source} into stages")
    from zoo_core.scaffold import make_plugin

    made, files = make_plugin(name, kind, source, folder=Path(), reserved=COMMANDS)
    click.echo(f"{made.title}, a package of {len(files)} files:")
    for file in files:
        click.echo(f"  {printable(str(file))}")
    click.echo("Next:")
    for command in made.commands:
        click.echo(f"  {command}")
