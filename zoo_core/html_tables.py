"""Tables that a notebook shows in place of a value: escaped, and in its own colours, light or
dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from zoo_core.errors import printable
from zoo_core.wording import isolated

MOST_ROWS = 60
LINE = "border-bottom:1px solid rgba(128,128,128,.4);padding:.15em .8em .15em 0;text-align:left;background:none"


def html_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str] = ()) -> str:
    """A heading, a table of at most 60 rows, and sentences below it, as HTML.

    Every text is escaped. Nothing has a colour of its own but the lines, which both grounds show.
    """
    rows = list(rows)
    head = _row("th", columns) if columns else ""
    body = "".join(_row("td", row) for row in rows[:MOST_ROWS])
    more = [f"{len(rows) - MOST_ROWS:,} more rows are not shown."] if len(rows) > MOST_ROWS else []
    below = "".join(f"<p>{shown(note)}</p>" for note in (*more, *notes))
    table = f'<table style="border-collapse:collapse">{head}{body}</table>' if rows else ""
    return f"<div><p><b>{shown(title)}</b></p>{table}{below}</div>"


def _row(tag: str, cells: Sequence[str]) -> str:
    inside = "".join(f'<{tag} style="{LINE}">{shown(cell)}</{tag}>' for cell in cells)
    return f"<tr>{inside}</tr>"


def on_page(value: object) -> object:
    """A value of a page's template, where names in Arabic or Hebrew turn nothing beside them;
    markup, such as a command to be copied, stays as it is."""
    return isolated(value) if type(value) is str else value


def shown(text: str) -> str:
    """A text from anywhere as HTML that says it and does nothing."""
    return escape(isolated(printable(text)), quote=True)
