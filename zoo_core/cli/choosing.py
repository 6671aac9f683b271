"""The filters and the order of `zoo list`, and large families as one row each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import groupby
from typing import Any, NamedTuple

import click

from zoo_core.listing import Rows, listed

SMALL_FAMILY = 3  # backbones that are shown one by one
MANY = 40  # backbones of a plugin, of which each family is one line: more do not fit on a screen
UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}
ORDERS: dict[str, Callable[[dict[str, Any]], tuple[bool, float]]] = {
    "params": lambda row: (row["params"] is None, row["params"] or 0),
    "gmacs": lambda row: (row["gmacs"] is None, row["gmacs"] or 0),
    "year": lambda row: (row["year"] is None, -(row["year"] or 0)),
    "top1": lambda row: (best_top1(row) is None, -(best_top1(row) or 0)),
}
"""The sort keys, unknown figures last: small ones first, but the newest and the most accurate."""


class Count(click.ParamType[int]):
    """A number of parameters: 25000000, 25M, 1.5G."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip().upper()
        unit = UNITS.get(text[-1:], 1)
        try:
            return round(float(text.rstrip("KMG")) * unit)
        except (ValueError, OverflowError):
            self.fail(f"'{value}' is not a number of parameters like 25M.", param, ctx)


class Filters(NamedTuple):
    """The choices of `zoo list`; false where nothing is chosen."""

    text: str = ""
    family: str | None = None
    max_params: int | None = None
    top1: float | None = None
    year: int | None = None
    licence: str | None = None
    cached: bool = False
    sort: str | None = None

    def __bool__(self) -> bool:
        return self != Filters()

    def chosen(self, kind: str, rows: Rows, *, with_plugins: bool) -> Rows:
        """The rows that pass, in the order asked for. Raises UsageError for a filter that the kind
        lacks."""
        if kind != "backbones" and self != Filters(text=self.text):
            raise click.UsageError("only backbones can be filtered and sorted by these options.")
        here = (
            {row["backbone"] for row in listed("weights", with_plugins=with_plugins)[0] if row["cached"]}
            if self.cached
            else None
        )
        name = "backbone" if kind == "weights" else "name"
        found = [
            row
            for row in rows
            if self.text.lower() in row[name].lower() and (kind != "backbones" or self._passes(row, here))
        ]
        return sorted(found, key=ORDERS[self.sort]) if self.sort else found

    def _passes(self, row: dict[str, Any], here: set[str] | None) -> bool:
        licences = [ref["licence"].lower() for ref in row["weights"]]
        top1 = best_top1(row)
        return (
            (self.family is None or row["family"] == self.family)
            and (self.max_params is None or (row["params"] is not None and row["params"] <= self.max_params))
            and (self.top1 is None or (top1 is not None and top1 >= self.top1))
            and (self.year is None or (row["year"] is not None and row["year"] >= self.year))
            and (self.licence is None or any(self.licence.lower() in licence for licence in licences))
            and (here is None or row["name"] in here)
        )


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of Filters to a command."""
    for option in reversed(
        (
            click.option("--family", help="Backbones of one family."),
            click.option("--max-params", type=Count(), help="Backbones of at most so many parameters (25M)."),
            click.option(
                "--top1", type=float, help="Backbones with weights of at least this ImageNet top-1 in percent."
            ),
            click.option("--year", type=int, help="Backbones of this year or later."),
            click.option("--licence", help="Backbones with weights whose licence holds this text."),
            click.option("--cached", is_flag=True, help="Backbones with weights on this machine."),
            click.option("--sort", type=click.Choice(list(ORDERS)), help="The order; by name if not given."),
        )
    ):
        command = option(command)
    return command


def best_top1(row: dict[str, Any]) -> float | None:
    """The best ImageNet top-1 of a backbone's weights, in percent."""
    return max((ref["top1"] for ref in row["weights"] if ref["imagenet"] and ref["top1"] is not None), default=None)


def folded(rows: Rows) -> Rows:
    """The rows with one for each family of more than SMALL_FAMILY backbones, after all others; of a
    plugin with MANY backbones one for each family of more than one."""
    counts = Counter(row["plugin"] for row in rows)
    single: Rows = []
    families: Rows = []
    for (plugin, family), members in groupby(
        sorted(rows, key=lambda row: (row["plugin"], row["family"])), key=lambda row: (row["plugin"], row["family"])
    ):
        group = list(members)
        if not family or len(group) <= (1 if counts[plugin] > MANY else SMALL_FAMILY):
            single += group
            continue
        params = [row["params"] for row in group if row["params"] is not None]
        years = sorted({row["year"] for row in group if row["year"] is not None})
        families.append(
            {
                "family": family,
                "variants": len(group),
                "years": "-" if not years else str(years[0]) if len(years) == 1 else f"{years[0]}-{years[-1]}",
                "least": min(params, default=None),
                "most": max(params, default=None),
                "top1": max((top1 for row in group if (top1 := best_top1(row)) is not None), default=None),
                "plugin": plugin,
                "installed": group[0].get("installed", True),
                "commercial": all(ref["commercial"] for row in group for ref in row["weights"]),
            }
        )
    order = {id(row): place for place, row in enumerate(rows)}
    return [*sorted(single, key=lambda row: order[id(row)]), *families]
