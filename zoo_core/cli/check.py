"""`zoo check DATA`: everything that can be found about a data set without training on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.common import (
    BACKBONE,
    announce,
    catalog_of,
    console,
    json_option,
    print_json,
    progress_of,
    shown,
    table,
)
from zoo_core.cli.embed import computed_in_words
from zoo_core.cli.options import Command, given_settings, options_of
from zoo_core.errors import UsageError, printable
from zoo_core.wording import quoted

if TYPE_CHECKING:
    from zoo_core.checking.report import Finding, Report, Suspect

EXAMPLES = 3  # of a kind in the table


@click.command(cls=Command)
@click.argument("data", metavar="DATA")
@click.option(
    "--backbone",
    type=BACKBONE,
    metavar="NAME",
    help="Backbone or run whose features are compared (the best installed one whose weights are on this machine); "
    "none: no network, and no check of labels.",
)
@click.option("--html", "page", type=click.Path(dir_okay=False, path_type=Path), help="Page with thumbnails to write.")
@click.option(
    "--fix-list",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV file of the suspects to write, to decide on and to give to `zoo finetune --fix-list`.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too, and not for errors alone.")
@options_of("weights", "task", "cache_gb", "device", "workers")
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    /,
    data: str,
    backbone: str | None,
    page: Path | None,
    fix_list: Path | None,
    strict: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Find broken and odd images, duplicates, leakage between parts and suspected labels.

    Nothing is trained but a logistic regression on features, which are cached: `zoo finetune` with
    a frozen backbone reads the same. DATA is a folder, a CSV file or all else that --data takes;
    images need no labels. The exit code is 1 if an error is found, and 0 otherwise.

    \b
    zoo check photos/
    zoo check photos/ --html check.html --fix-list suspects.csv
    zoo check photos.csv --backbone none --strict --json
    """
    given = given_settings(ctx, settings)
    catalog = catalog_of(ctx)
    announce("loading the network and the list of images")
    from zoo_core.checking.check import AUTO, Progress, check_data
    from zoo_core.data.fix_list import check_fix_list_target, write_fix_list

    if fix_list is not None:
        check_fix_list_target(fix_list)
    if page is not None:
        _check_page(page)
    with (
        progress_of("looking at the images") as scanning,
        progress_of("measuring the images") as measuring,
        progress_of("computing features") as computing,
        progress_of("comparing pairs") as comparing,
        progress_of("fitting labels") as fitting,
    ):
        progress = Progress(scanning, measuring, computing, comparing, fitting)
        report = check_data(data, backbone=backbone or AUTO, catalog=catalog, progress=progress, **given)
    if fix_list is not None:
        write_fix_list(fix_list, report.fix_rows())
    if page is not None:
        _write_page(page, report)
    if as_json:
        print_json(_json(report))
    else:
        _show(report, data, page, fix_list)
    raise SystemExit(1 if report.count("error") or (strict and report.count("warning")) else 0)


def _check_page(page: Path) -> None:
    """Raise UsageError unless a page can be written there; one of an earlier call is replaced."""
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"the page is an HTML file, and '{printable(page.name)}' does not end in .html.")
    if page.exists() and not page.is_file():
        raise UsageError(f"{printable(str(page))} is no file. Give another --html.")


def _write_page(page: Path, report: Report) -> None:
    from zoo_core.checking.page import render_page
    from zoo_core.paths import write_text

    with progress_of("drawing thumbnails") as watch:
        write_text(page, render_page(report, _summary(report), watch))


def _summary(report: Report) -> str:
    """The counts in one sentence."""
    images = sum(len(part) for part in report.source.parts.values())
    parts = ", ".join(f"{len(part):,} {name}" for name, part in report.source.parts.items())
    counts = f"{_counted(report.count('error'), 'error')} and {_counted(report.count('warning'), 'warning')}"
    network = f", with the features of {printable(report.backbone)}" if report.backbone else ""
    return f"{counts} in {_counted(images, 'image')} ({parts}){network}."


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _show(report: Report, data: str, page: Path | None, fix_list: Path | None) -> None:
    out = console()
    if report.findings:
        made = table("finding", "severity", "count", "first", right=("count",))
        for finding in report.findings:
            made.add_row(finding.kind.name, finding.kind.severity, f"{len(finding.suspects):,}", _examples(finding))
        out.print(made)
    for sentence in (*report.left_out, _summary(report), *_next_steps(report, data, page, fix_list)):
        click.echo(printable(sentence))


def _next_steps(report: Report, data: str, page: Path | None, fix_list: Path | None) -> Iterator[str]:
    """Sentences on the files that were written, and on their use; commands stand on one line, to be
    copied."""
    if report.backbone is not None:
        yield computed_in_words(report.num_computed, len(report.names))
    if page is not None:
        yield f"The page is {page}."
    if fix_list is not None:
        yield f"Fill in the column 'decision' of {fix_list}, then:"
        yield f"zoo finetune --data {quoted(data)} --fix-list {quoted(fix_list)}"
    elif page is None and report.count("warning") + report.count("error"):
        yield "Look at them with --html check.html, and decide on them with --fix-list suspects.csv."


def _examples(finding: Finding) -> str:
    """The first suspects of a kind, a line each."""
    lines = [_line(one) for one in finding.suspects[:EXAMPLES]]
    rest = len(finding.suspects) - EXAMPLES
    return "\n".join([*lines, f"... and {rest:,} more"] if rest > 0 else lines)


def _line(suspect: Suspect) -> str:
    return shown(f"{printable(suspect.image)}: {suspect.detail}" if suspect.image else suspect.detail)


def _json(report: Report) -> dict[str, Any]:
    return {
        "data": report.source.title,
        "task": report.source.task if report.source.classes else None,
        "parts": [{"part": name, "images": len(part)} for name, part in report.source.parts.items()],
        "backbone": report.backbone,
        "computed": report.num_computed,
        "errors": report.count("error"),
        "warnings": report.count("warning"),
        "left_out": list(report.left_out),
        "findings": [
            {
                "kind": finding.kind.name,
                "severity": finding.kind.severity,
                "meaning": finding.kind.meaning,
                "count": len(finding.suspects),
                "suspects": [
                    {
                        "image": one.image or None,
                        "part": one.part,
                        "label": one.label or None,
                        "detail": one.detail,
                        "score": one.score,
                        "like": None if one.other is None else report.names[one.other],
                        "suggestion": one.suggestion or None,
                    }
                    for one in finding.suspects
                ],
            }
            for finding in report.findings
        ],
    }
