"""`zoo list`: the backbones, heads, strategies, data sets and weights to choose from."""

from __future__ import annotations

from typing import Any

import click

from zoo_core.cli.common import json_option, print_columns, print_json, warn
from zoo_core.listing import listed
from zoo_core.wording import human_count

COLUMNS = {
    "backbones": ("name", "year", "params", "GMACs", "top-1 %", "weights", "plugin"),
    "heads": ("name", "summary", "options", "plugin"),
    "strategies": ("name", "summary", "options", "plugin"),
    "datasets": ("name", "summary", "images", "classes", "licence", "plugin"),
    "weights": ("backbone", "weights", "sources", "size", "licence", "top-1 %", "here"),
}
RIGHT = {"year", "params", "GMACs", "top-1 %", "images", "classes", "size"}


@click.command("list")
@click.argument("kind", type=click.Choice(list(COLUMNS)), default="backbones")
@json_option
@click.pass_context
def list_(ctx: click.Context, kind: str, as_json: bool) -> None:
    """List backbones (the default), heads, strategies, datasets or weights.

    \b
    zoo list
    zoo list strategies
    zoo list backbones --json
    """
    rows, warnings = listed(kind, with_plugins=ctx.obj["with_plugins"])
    warn(warnings)
    if as_json:
        print_json({kind: rows})
        return
    print_columns(COLUMNS[kind], [_cells(kind, row) for row in rows], right=RIGHT)


def _cells(kind: str, row: dict[str, Any]) -> list[str]:
    if kind == "backbones":
        weights = row["weights"]
        top1 = next((ref["top1"] for ref in weights if ref["top1"] is not None), None)
        gmacs = "-" if row["gmacs"] is None else f"{row['gmacs']:.3g}"
        tags = ", ".join(ref["tag"] for ref in weights) or "-"
        shown = "-" if top1 is None else f"{top1:.1f}"
        return [row["name"], str(row["year"]), human_count(row["params"]), gmacs, shown, tags, row["plugin"]]
    if kind == "weights":
        size = "-" if row["bytes"] is None else f"{'' if row['cached'] else '~'}{row['bytes'] / 1e6:.1f} MB"
        top1 = "-" if row["top1"] is None else f"{row['top1']:.1f}"
        here = "yes" if row["cached"] else "no"
        return [row["backbone"], row["tag"], "\n".join(row["sources"]), size, row["licence"], top1, here]
    if kind == "datasets":
        return [str(row[key]) for key in ("name", "summary", "images", "classes", "licence", "plugin")]
    options = row["options"].partition(": ")[2] or "-"
    return [row["name"], row["summary"], options.rstrip("."), row["plugin"]]
