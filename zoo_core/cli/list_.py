"""`zoo list`: the backbones, heads, strategies, data sets and weights to choose from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from zoo_core.catalog import Catalog
from zoo_core.cli.common import catalog_of, json_option, print_columns, print_json
from zoo_core.options import describe_options
from zoo_core.specs import BackboneSpec, DatasetSpec, FreezeSpec, HeadSpec
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
    catalog = catalog_of(ctx)
    rows = {
        "backbones": _backbones,
        "heads": _heads,
        "strategies": _strategies,
        "datasets": _datasets,
        "weights": _weights,
    }[kind](catalog)
    if as_json:
        print_json({kind: rows})
        return
    print_columns(COLUMNS[kind], [_cells(kind, row) for row in rows], right=RIGHT)


Rows = list[dict[str, Any]]


def _backbones(catalog: Catalog) -> Rows:
    rows = [
        {
            "name": entry.spec.name,
            "year": entry.spec.year,
            "params": entry.spec.params,
            "gmacs": entry.spec.gmacs,
            "size": entry.spec.preprocessing.size,
            "stages": list(entry.spec.stages),
            "weights": [{"tag": ref.tag, "top1": ref.top1} for ref in entry.spec.weights],
            "plugin": entry.distribution,
            "plugin_version": entry.version,
        }
        for entry in catalog.entries(BackboneSpec)
    ]
    return rows


def _heads(catalog: Catalog) -> Rows:
    return _with_options(catalog, HeadSpec)


def _strategies(catalog: Catalog) -> Rows:
    return _with_options(catalog, FreezeSpec)


def _with_options(catalog: Catalog, kind: type[Any]) -> Rows:
    rows = [
        {
            "name": entry.spec.name,
            "summary": entry.spec.summary,
            "options": describe_options(entry.spec.name, entry.spec.options),
            "plugin": entry.distribution,
            "plugin_version": entry.version,
        }
        for entry in catalog.entries(kind)
    ]
    return rows


def _datasets(catalog: Catalog) -> Rows:
    rows = [
        {
            key: value
            for key, value in {**asdict(entry.spec), "plugin": entry.distribution}.items()
            if key not in ("load", "options")
        }
        for entry in catalog.entries(DatasetSpec)
    ]
    return rows


def _weights(catalog: Catalog) -> Rows:
    from zoo_core.weights.fetch import on_this_machine

    rows: Rows = []
    for entry in catalog.entries(BackboneSpec):
        for ref in entry.spec.weights:
            path = next((path for source in ref.sources if (path := on_this_machine(source))), None)
            expected = None if entry.spec.params is None else 4 * entry.spec.params
            rows.append(
                {
                    "backbone": entry.spec.name,
                    "tag": ref.tag,
                    "sources": [str(source) for source in ref.sources],
                    "licence": ref.licence,
                    "top1": ref.top1,
                    "bytes": path.stat().st_size if path else expected,
                    "bytes_are": "measured" if path else "expected",
                    "cached": path is not None,
                }
            )
    return rows


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
