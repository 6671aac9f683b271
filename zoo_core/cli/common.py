"""Helpers of all commands: the catalog, tables, completion of names."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import TYPE_CHECKING

import click

from zoo_core.errors import printable
from zoo_core.wording import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from zoo_core.catalog import Catalog
    from zoo_core.data.sources import Source

MOST_KINDS = 6  # of ignored files that are named
MIN_NAME, MIN_CELL = 12, 12  # letters of a column in a narrow table


def catalog_of(ctx: click.Context) -> Catalog:
    """Open the catalog, warning on standard error of plugins that failed."""
    from zoo_core.catalog import open_catalog

    catalog = open_catalog(with_plugins=ctx.obj["with_plugins"])
    warn(catalog.warnings)
    return catalog


def warn(warnings: Iterable[str]) -> None:
    """Print each warning on standard error; no name in it can steer the terminal."""
    for warning in warnings:
        click.echo("\n".join(printable(line) for line in f"warning: {warning}".split("\n")), err=True)


def tell(text: str) -> None:
    """Print a line on standard error, as `warn` does."""
    click.echo(printable(text), err=True)


def shown(text: object) -> str:
    """A text from outside for rich: nothing in it can steer a terminal or is read as markup. Its
    lines stay."""
    from rich.markup import escape

    return escape("\n".join(printable(line) for line in str(text).split("\n")))


def console(*, error: bool = False) -> Console:
    """Where tables and progress go: standard output, or standard error. Wide tables are not cut in
    a pipe."""
    from rich.console import Console

    made = Console(stderr=error, highlight=False, soft_wrap=False)
    return made if made.is_terminal else Console(stderr=error, highlight=False, width=max(made.width, 140))


def ignored_in_words(ignored: Mapping[str, int]) -> str:
    """The ignored things beside the images, by kind, the most frequent first."""
    kinds = sorted(ignored.items(), key=lambda kind: -kind[1])
    told = ", ".join(f"{count} {kind}" for kind, count in kinds[:MOST_KINDS])
    return told + (" and others" if len(kinds) > MOST_KINDS else "")


def tell_left_out(source: Source) -> None:
    """Say on standard error which things were ignored, and how many bad images were left out."""
    if source.ignored:
        click.echo(printable(f"ignored: {ignored_in_words(source.ignored)}"), err=True)
    if source.skipped:
        verb = "was" if source.skipped == 1 else "were"
        click.echo(f"{counted(source.skipped, 'image')} that cannot be read {verb} left out.", err=True)


def computed_in_words(computed: int, total: int) -> str:
    """How many of the features were computed, and how many the cache had."""
    if not computed:
        return "Nothing was computed: all features were cached."
    return f"{computed:,} of {total:,} were computed, and are cached now."


def announce(text: str) -> None:
    """Announce the next wait on a terminal. A line, not a spinner: downloads draw bars of their own
    below it."""
    screen = console(error=True)
    if screen.is_terminal:
        screen.print(f"[dim]{shown(text)} ...[/dim]")


@contextmanager
def progress_of(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error; call its value with (done, total). It comes with the first call and
    goes with the last."""
    bar = bar_on(console(error=True))
    task = bar.add_task(name, total=None)

    def update(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)
        if done == total:
            bar.stop()  # so that a download after it can draw bars of its own

    try:
        yield update
    finally:
        bar.stop()


def bar_on(screen: Console) -> Progress:
    """A bar that is taken away when it stops. It draws nothing where no terminal could take it away: in a pipe, a log."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.percentage:>3.0f} %"))
    return Progress(*columns, TimeRemainingColumn(), console=screen, transient=True, disable=not screen.is_terminal)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A plain table; the columns named in `right` are aligned to the right."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def print_columns(
    columns: tuple[str, ...],
    rows: list[list[str]],
    *,
    right: Collection[str],
    below: Iterable[str] = (),
    spared: Iterable[str] = (),
) -> None:
    """Print a table without rich, whose import would take a third of a listing's time; its texts
    are made printable, and lines may stand `below` it.

    A cell may have several lines; the widest columns are wrapped until the table fits. Before words
    are cut, the columns that can be `spared` are left out, the first one first, and a line tells of
    them. A terminal that is too low for the table gets it page by page.
    """
    rows = [["\n".join(printable(line) for line in text.split("\n")) for text in row] for row in rows]
    columns, rows, left_out = _without(columns, rows, spared)
    below = [*below, f"Left out, for the terminal is narrow: {', '.join(left_out)}."] if left_out else below
    wide = [
        max(len(line) for row in (columns, *rows) for line in row[place].split("\n")) for place in range(len(columns))
    ]
    _fit(wide, [columns, *rows], right, _width() - 2 * (len(columns) - 1))
    lines: list[str] = []
    for number, row in enumerate([[*columns], *rows]):
        if len(row[0]) > wide[0] and " " not in row[0]:  # a name is never cut
            lines.append(row[0])
            row = ["", *row[1:]]
        cells = [_wrapped(text, wide[place]) for place, text in enumerate(row)]
        for line in zip_longest(*cells, fillvalue=""):
            parts = (_aligned(text, wide[place], columns[place] in right) for place, text in enumerate(line))
            lines.append("  ".join(parts).rstrip())
        if number == 0:
            lines.append("  ".join("─" * width for width in wide))
    lines += below
    if _height() < len(lines):
        click.echo_via_pager("\n".join(lines) + "\n")
    else:
        click.echo("\n".join(lines))


def _without(
    columns: tuple[str, ...], rows: list[list[str]], spared: Iterable[str]
) -> tuple[tuple[str, ...], list[list[str]], list[str]]:
    """The table without as many of the spared columns as its words need to fit, and their names."""
    left_out: list[str] = []
    for name in spared:
        words = [
            max(len(word) for row in (columns, *rows) for word in (row[at].split() or [""]))
            for at in range(len(columns))
        ]
        if sum(words) + 2 * (len(words) - 1) <= _width():
            break
        place = columns.index(name)
        columns = columns[:place] + columns[place + 1 :]
        rows = [row[:place] + row[place + 1 :] for row in rows]
        left_out.append(name)
    return columns, rows, left_out


def _fit(wide: list[int], rows: Sequence[Sequence[str]], right: Collection[str], room: int) -> None:
    """Make the widest columns narrower until they fit: between words as long as that is enough, and
    then the first one, whose long names stand alone in a line, before words are cut."""
    if sum(wide) <= room:
        return
    words = [max(max(map(len, row[place].split() or [""])) for row in rows) for place in range(len(wide))]
    words = [whole if name in right else word for whole, word, name in zip(wide, words, rows[0], strict=True)]
    for least in (words, [MIN_NAME, *words[1:]], [MIN_NAME, *(min(MIN_CELL, word) for word in words[1:])]):
        while sum(wide) > room:
            widest = max(range(len(wide)), key=lambda place: wide[place] - least[place])
            if wide[widest] <= least[widest]:
                break
            wide[widest] -= 1


def on_terminal() -> bool:
    """Whether the output is read by a person rather than by a program."""
    return sys.stdout.isatty()


def _width() -> int:
    """The columns of the terminal; in a pipe, where nothing is cut at the edge, 140."""
    if not on_terminal():
        return 140
    from shutil import get_terminal_size

    return get_terminal_size().columns


def _height() -> float:
    """The lines of the terminal; a pipe has no end."""
    if not on_terminal():
        return math.inf
    from shutil import get_terminal_size

    return get_terminal_size().lines


def _aligned(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _wrapped(text: str, width: int) -> list[str]:
    lines = text.split("\n")
    if all(len(line) <= width for line in lines):
        return lines
    from textwrap import wrap

    return [part for line in lines for part in wrap(line, width, break_on_hyphens=False)]


class _Name(click.ParamType[str]):
    """A name from the catalog, completed by the shell."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        from zoo_core.listing import listed

        names = {row["name"] for row in listed(self.kind)[0]}
        return [click.shell_completion.CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


class Chain(_Name):
    """Names from the catalog with a link between them, or one of some words alone."""

    def __init__(self, name: str, kind: str, words: Iterable[str], link: str = "+") -> None:
        super().__init__(name, kind)
        self.words, self.link = tuple(words), link

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        before, link, last = incomplete.rpartition(self.link)
        words = [] if link else [word for word in self.words if word.startswith(last)]
        names = [str(item.value) for item in super().shell_complete(ctx, param, last)]
        return [click.shell_completion.CompletionItem(f"{before}{link}{name}") for name in (*words, *names)]


BACKBONE = _Name("backbone", "backbones")
HEAD = _Name("head", "heads")
STRATEGY = _Name("strategy", "strategies")
