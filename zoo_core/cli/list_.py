"""`zoo list`: the backbones, heads, strategies, weights and the rest to choose from."""

from __future__ import annotations

from typing import Any

import click

from zoo_core.cli.choosing import Filters, filter_options, folded
from zoo_core.cli.common import on_terminal, print_columns, warn
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.listing import listed, with_available
from zoo_core.wording import human_count

COLUMNS = {
    "backbones": ("name", "year", "params", "GMACs", "top-1 %", "weights", "plugin"),
    "heads": ("name", "summary", "options", "plugin"),
    "strategies": ("name", "summary", "options", "plugin"),
    "datasets": ("name", "summary", "images", "classes", "licence", "source"),
    "metrics": ("name", "summary", "options", "plugin"),
    "exporters": ("name", "summary", "options", "plugin"),
    "runners": ("name", "summary", "options", "plugin"),
    "augmentations": ("name", "summary", "options", "plugin"),
    "trackers": ("name", "summary", "options", "plugin"),
    "weights": ("backbone", "weights", "sources", "size", "licence", "top-1 %", "here"),
}
RIGHT = {"year", "params", "GMACs", "top-1 %", "images", "classes", "size"}
SHOWN_TAGS = 3  # of one backbone's weights; `zoo info NAME` shows all


@click.command("list")
@click.argument("kind", type=click.Choice(list(COLUMNS)), default="backbones")
@click.argument("text", default="")
@filter_options
@click.option("--available", is_flag=True, help="Backbones of known plugins that are not installed, too.")
@json_option
@click.pass_context
def list_(ctx: click.Context, /, kind: str, text: str, available: bool, as_json: bool, **given: Any) -> None:
    """List backbones (the default), heads, strategies, datasets, augmentations, metrics, exporters,
    runners, trackers or weights, those whose name holds TEXT.

    On a terminal large families of backbones are one line each, until a filter chooses among them,
    and a long list is shown page by page.

    \b
    zoo list
    zoo list strategies
    zoo list backbones vit --max-params 30M --top1 80
    zoo list backbones --json
    zoo list --available --year 2020
    """
    if available and kind != "backbones":
        raise click.UsageError(f"--available shows backbones. `zoo plugin search` finds known plugins with {kind}.")
    filters = Filters(text=text, **given)
    with_plugins = ctx.obj["with_plugins"]
    rows, warnings = listed("details" if as_json and kind == "backbones" else kind, with_plugins=with_plugins)
    warn(warnings)
    rows = with_available(rows) if available else rows
    rows = filters.chosen(kind, rows, with_plugins=with_plugins)
    if as_json:
        print_json({kind: rows})
        return
    if not rows and filters:
        click.echo(f"None of the {kind} passes. `zoo list {kind}` shows all.", err=True)
        return
    if kind == "backbones" and not filters and on_terminal():
        rows = folded(rows)
    below = []
    if any(not ref.get("commercial", True) for row in rows for ref in (row, *row.get("weights", ()))):
        some = "; of a family, of some of them" if any("variants" in row for row in rows) else ""
        below.append(f"* not for commercial use, by the licence of the weights{some}")
    if kind == "datasets":
        below.append(
            "`zoo finetune --backbone BACKBONE --data NAME` trains on one; those of the Hub (hf:) are fetched first."
        )
    if any(not row.get("installed", True) for row in rows):
        below.append("`zoo plugin install NAME` installs a plugin.")
    print_columns(COLUMNS[kind], [_cells(kind, row) for row in rows], right=RIGHT, below=below)


def _cells(kind: str, row: dict[str, Any]) -> list[str]:
    if kind == "backbones":
        return _backbone(row)
    if kind == "weights":
        size = "-" if row["bytes"] is None else f"{'' if row['cached'] else '~'}{row['bytes'] / 1e6:.1f} MB"
        top1 = "-" if row["top1"] is None else f"{row['top1']:.1f}"
        here = "yes" if row["cached"] else "no"
        tag = row["tag"] + ("" if row["commercial"] else "*")
        return [row["backbone"], tag, "\n".join(row["sources"]), size, row["licence"], top1, here]
    if kind == "datasets":
        images = "-" if row["images"] is None else f"{row['images']:,}"
        source = row["plugin"] if row["source"] == "installed" else row["source"]
        return [row["name"], row["summary"], images, str(row["classes"]), row["licence"], source]
    options = row["options"].partition(": ")[2] or "-"
    return [row["name"], row["summary"], options.rstrip("."), row["plugin"]]


def _backbone(row: dict[str, Any]) -> list[str]:
    here = row.get("installed", True)
    plugin = row["plugin"] if here else f"{row['plugin']} (not installed)"
    if "variants" in row:
        low, high = (human_count(row[key]) for key in ("least", "most"))
        top1 = "-" if row["top1"] is None else f"{row['top1']:.1f}"
        hint = f"zoo list {'' if here else '--available '}--family {row['family']}"
        return [
            f"{row['family']}: {row['variants']} backbones{'' if row['commercial'] else '*'}",
            row["years"],
            f"{low} - {high}",
            "",
            top1,
            hint,
            plugin,
        ]
    weights = row["weights"]
    top1 = next((f"{ref['top1']:.1f}" for ref in weights if ref["top1"] is not None and ref["imagenet"]), "-")
    gmacs = "-" if row["gmacs"] is None else _three_digits(row["gmacs"])
    tags = [ref["tag"] + ("" if ref["commercial"] else "*") for ref in weights]
    more = [f"{len(tags) - SHOWN_TAGS} more"] if len(tags) > SHOWN_TAGS else []
    shown = ", ".join([*tags[:SHOWN_TAGS], *more]) or "-"
    return [row["name"], str(row["year"] or "-"), human_count(row["params"]), gmacs, top1, shown, plugin]


def _three_digits(number: float) -> str:
    """A number with three digits, and with all before the point; "g" would write 1.02e+03."""
    return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"
