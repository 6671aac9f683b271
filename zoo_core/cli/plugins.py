"""`zoo plugins`: every plugin with its specs, or the reason why it failed."""

from __future__ import annotations

import click

from zoo_core.catalog import KINDS
from zoo_core.cli.common import catalog_of, console, shown, table
from zoo_core.cli.json_answers import json_option, print_json


@click.command()
@json_option
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List every plugin with its version and its specs, or the reason why it was skipped.

    \b
    zoo plugins
    ZOO_DISABLE_PLUGINS=zoo-vgg zoo plugins
    """
    records = catalog_of(ctx).records
    rows = [
        {
            "distribution": record.distribution,
            "version": record.version,
            "entry_point": record.entry_point,
            "failure": record.failure,
            "left_out": record.left_out,
            "hook_api": record.hook_api,
            **{plural: record.names(kind) for kind, (_, plural) in KINDS.items()},
        }
        for record in records
    ]
    if as_json:
        print_json({"plugins": rows})
        return
    made = table("plugin", "version", "registered")
    for record in records:
        parts = [
            f"{plural}: {', '.join(record.names(kind))}" for kind, (_, plural) in KINDS.items() if record.names(kind)
        ]
        parts += [f"left out: {reason}" for reason in record.left_out]
        told = f"[red]skipped:[/red] {shown(record.failure)}" if record.failure else shown("\n".join(parts))
        made.add_row(shown(record.distribution), shown(record.version), told)
    console().print(made)
