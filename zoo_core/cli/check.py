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
    computed_in_words,
    console,
    progress_of,
    shown,
    table,
    tell,
)
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.options import SETTINGS, Command, given_settings, options_of
from zoo_core.errors import UsageError, printable
from zoo_core.paths import check_new_file, user_path
from zoo_core.wording import counted, quoted

if TYPE_CHECKING:
    from zoo_core.checking.report import Finding, Report, Suspect

EXAMPLES = 3  # of a kind in the table
UNTRAINED = "a pretrained backbone has not seen them"
FOR_TRAINING = ("weights", "fit", "task", "group_by", "cache_dtype")
"""The settings that a training needs to read the same data and features."""


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
@options_of("weights", "fit", "task", "group_by", "cache_dtype", "cache_gb", "device", "workers")
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
        progress_of("comparing images") as comparing,
        progress_of("fitting labels") as fitting,
    ):
        progress = Progress(scanning, measuring, computing, comparing, fitting, tell)
        report = check_data(data, backbone=backbone or AUTO, catalog=catalog, progress=progress, **given)
    rows = report.fix_rows()
    if page is not None:  # files first: a reader of the output may leave
        _write_page(page, report)
    if fix_list is not None and rows:
        write_fix_list(fix_list, rows)
    if as_json:
        print_json(_json(report))
    else:
        _show(report)
    if fix_list is not None and not rows:
        click.echo(f"There is nothing to decide on: {printable(str(fix_list))} was not written.", err=as_json)
    if not as_json:
        for sentence in _next_steps(report, page, fix_list if rows else None, _command(report, data, fix_list, given)):
            click.echo(printable(sentence))
    raise SystemExit(1 if report.count("error") or (strict and report.count("warning")) else 0)


def _check_page(page: Path) -> None:
    """Raise UsageError unless a page can be written to this file, which is new."""
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"the page is an HTML file, and '{printable(page.name)}' does not end in .html.")
    check_new_file(page, "--html")


def _write_page(page: Path, report: Report) -> None:
    from zoo_core.checking.page import render_page
    from zoo_core.paths import write_text

    with progress_of("drawing thumbnails") as watch:
        write_text(page, render_page(report, _summary(report), watch))


def _summary(report: Report) -> str:
    """The counts in one sentence."""
    images = sum(len(part) for part in report.source.parts.values())
    parts = ", ".join(f"{len(part):,} {name}" for name, part in report.source.parts.items())
    counts = f"{counted(report.count('error'), 'error')} and {counted(report.count('warning'), 'warning')}"
    network = f", with the features of {printable(report.backbone)}" if report.backbone else ""
    return f"{counts} in {counted(images, 'image')} ({parts}){network}."


def _show(report: Report) -> None:
    out = console()
    if report.findings:
        made = table("finding", "severity", "count", "first", right=("count",))
        for finding in report.findings:
            made.add_row(finding.kind.name, finding.kind.severity, f"{len(finding.suspects):,}", _examples(finding))
        out.print(made)
    for sentence in (*report.left_out, _summary(report)):
        click.echo(printable(sentence))


def _command(report: Report, data: str, fix_list: Path | None, given: dict[str, Any]) -> str:
    """The training that follows a fix list, with the features of the check where it can have
    them."""
    backbone = report.backbone or "NAME"
    if report.backbone is not None and report.is_run:
        from zoo_core.runs.directory import is_run, read_facts

        run = user_path(report.backbone)
        backbone = read_facts(run).backbone.name if is_run(run) else "NAME"
    chosen = {"backbone": backbone, "data": data, "fix_list": fix_list}
    chosen |= {name: given[name] for name in FOR_TRAINING if name in given}
    return " ".join(["zoo finetune", *(f"--{SETTINGS[name].option} {quoted(value)}" for name, value in chosen.items())])


def _next_steps(report: Report, page: Path | None, fix_list: Path | None, command: str) -> Iterator[str]:
    """Sentences on the files that were written, and on their use; the command stands on one line,
    to be copied."""
    if report.is_run:
        yield f"{report.backbone} was trained on labels. If they are these, it may agree with wrong ones; {UNTRAINED}."
    if report.backbone is not None:
        yield computed_in_words(report.num_computed, len(report.names))
    if page is not None:
        yield f"The page is {page}."
    if fix_list is not None and report.source.classes:
        yield f"Fill in the column 'decision' of {fix_list}, then:"
        yield command
    elif fix_list is not None:
        yield f"The suspects are in {fix_list}."
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
