"""The pages of the site that are written from the program itself: backbones, other choices, commands.

They follow from the specs of the installed plugins, the index of known ones, and the declarations of the commands.
"""

from __future__ import annotations

import inspect
import re
from html import escape
from typing import Any

import click

from zoo_core.cli.main import zoo
from zoo_core.listing import listed, with_available
from zoo_core.wording import human_count

Rows = list[dict[str, Any]]


def all_pages() -> dict[str, str]:
    """The text of each page, by its name in the site."""
    return {
        "reference/backbones.md": backbones(with_available(_listed("backbones"))),
        "reference/choices.md": choices(),
        "reference/commands.md": commands(),
    }


BACKBONES = """---
hide: [toc]
---

# Backbones

All backbones of the known plugins: {count}, in {families} families of {plugins} plugins. `zoo info NAME` tells more of one,
and `zoo finetune --backbone NAME --data photos/` trains with it. `zoo list` shows the same on a terminal.

Top-1 is the share of ImageNet's validation images whose class is answered, in percent, as the source of the weights
states it. GMACs are billions of multiply-accumulates for one image of the size in pixels. Weights with a star forbid
commercial use.

<form id="filters" class="zoo-filters" hidden>
<label>Text <input type="search" name="text" placeholder="resnet, vit, mit ..."></label>
<label>Plugin <select name="plugin"><option value="">all</option>{choices}</select></label>
<label>Features <select name="features">
<option value="">all</option><option>map</option><option>tokens</option></select></label>
<label>At most M parameters <input type="number" name="params" min="0" step="any"></label>
<label>At most GMACs <input type="number" name="gmacs" min="0" step="any"></label>
<label>At least top-1 % <input type="number" name="top1" min="0" max="100" step="any"></label>
<label class="zoo-check"><input type="checkbox" name="commercial"> commercial use</label>
<output id="count" aria-live="polite"></output>
</form>

<div class="zoo-table" tabindex="0" role="region" aria-label="Table of backbones">
<table id="catalogue" class="zoo-backbones">
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>

<script src="../assets/backbones.js"></script>
"""
COLUMNS = ("name", "year", "params", "GMACs", "size", "top-1 %", "features", "weights", "plugin")


def backbones(rows: Rows) -> str:
    """The catalogue: one table, which a script of the site filters and sorts, and which is whole without it."""
    plugins = sorted({row["plugin"] for row in rows})
    return BACKBONES.format(
        count=f"{len(rows):,}",
        families=len({row["family"] for row in rows if row["family"]}),
        plugins=len(plugins),
        choices="".join(f"<option>{escape(name)}</option>" for name in plugins),
        head="".join(f'<th scope="col">{name}</th>' for name in COLUMNS),
        rows="\n".join(map(_backbone, rows)),
    )


def _backbone(row: dict[str, Any]) -> str:
    """A row of the table; data-value has what the script of the site sorts and filters by."""
    weights = row["weights"]
    top1 = max((ref["top1"] for ref in weights if ref["top1"] is not None and ref["imagenet"]), default=None)
    tags = ", ".join(ref["tag"] + ("" if ref["commercial"] else "*") for ref in weights)
    cells = (
        (row["name"], f"<code>{escape(row['name'])}</code>"),
        (row["year"], row["year"]),
        (row["params"], human_count(row["params"])),
        (row["gmacs"], "" if row["gmacs"] is None else f"{row['gmacs']:.{3 if row['gmacs'] < 999.5 else 4}g}"),
        (row["size"], row["size"]),
        (top1, "" if top1 is None else f"{top1:.1f}"),
        (row["features"], row["features"]),
        (tags, escape(tags)),
        (row["plugin"], escape(row["plugin"])),
    )
    facts = {
        "family": row["family"] or "",
        "licences": " ".join(sorted({ref["licence"] for ref in weights})),
        "commercial": int(any(ref["commercial"] for ref in weights)),
    }
    data = " ".join(f'data-{name}="{escape(str(value))}"' for name, value in facts.items())
    shown = "".join(
        f'<td data-value="{escape(str("" if value is None else value))}">{text or "-"}</td>' for value, text in cells
    )
    return f'<tr id="{escape(row["name"])}" {data}>{shown}</tr>'


CHOICES = {
    "heads": ("Heads", "--head NAME:key=value,key=value"),
    "strategies": ("Freeze strategies", "--strategy NAME:key=value"),
    "metrics": ("Metrics", "--metric NAME"),
    "augmentations": ("Augmentations", "--augment NAME+NAME:key=value"),
    "exporters": ("Exporters", "zoo export RUN --to NAME"),
    "runners": ("Runners", "zoo compare --on NAME"),
}


def choices() -> str:
    """Heads, strategies, metrics and the rest, with their options, as the installed plugins register them."""
    parts = [
        "# Heads, strategies and the rest\n\nFrom the installed plugins. `zoo list heads` and so on show the same on a"
        " terminal. Options follow the name and a colon; the first one needs no name.\n"
    ]
    for kind, (title, use) in CHOICES.items():
        rows = [[f"`{one['name']}`", one["summary"], _options(one["options"]), one["plugin"]] for one in _listed(kind)]
        parts.append(f"## {title}\n\n`{use}`\n\n" + _table(["name", "meaning", "options", "plugin"], rows))
    rows = [
        [f"`{one['name']}`", one["summary"], str(one["classes"]), one["licence"], f"`{one['source']}`"]
        for one in _listed("datasets")
    ]
    parts.append(
        "## Data sets\n\n`--data NAME`\n\n" + _table(["name", "content", "classes", "licence", "source"], rows)
    )
    return "\n".join(parts)


def _options(text: str) -> str:
    described = text.partition(": ")[2].rstrip(".")
    return ", ".join(f"`{one}`" for one in re.split(r", (?=\w+=)", described)) if described else ""


def commands() -> str:
    """Every command with its help and its options, from the declarations that the program itself reads."""
    context = click.Context(zoo, info_name="zoo")
    parts = ["# Commands\n\nEvery command with its options, as `--help` shows them.\n"]
    for name in zoo.list_commands(context):
        command = zoo.get_command(context, name)
        assert command is not None
        parts += _command(command, context, name)
    return "\n".join(parts)


def _command(command: click.Command, parent: click.Context, name: str) -> list[str]:
    context = click.Context(command, parent=parent, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [f"## {context.command_path}\n\n```text\n{context.command_path} {usage}\n```\n", _help(command.help or "")]
    rows = [list(record) for one in command.get_params(context) if (record := one.get_help_record(context))]
    rows = [[f"`{flag}`", text] for flag, text in rows if text and "--help" not in flag]
    if rows:
        parts.append(_table(["option", "meaning"], rows))
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            inner = command.get_command(context, below)
            assert inner is not None
            parts += _command(inner, context, below)
    return parts


def _help(text: str) -> str:
    """A help as Markdown: what click leaves as it is are commands."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return (
        "\n\n".join(
            "```sh\n" + one.removeprefix("\b\n") + "\n```"
            if one.startswith("\b\n")
            else escape(" ".join(one.split()), quote=False)
            for one in paragraphs
        )
        + "\n"
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """The text of a cell, on one line; a bar in code is no border, to Python-Markdown."""
    return "".join(
        part if part.startswith("`") else escape(part, quote=False).replace("|", "\\|")
        for part in re.split(r"(`[^`]*`)", text.replace("\n", " "))
    )


def _listed(kind: str) -> Rows:
    """The rows of `zoo list`. Raises SystemExit where a plugin fails: its choices would be missing."""
    rows, warnings = listed(kind)
    if warnings:
        raise SystemExit("\n".join(warnings))
    return rows
