"""`zoo runs`: every run below a folder, and the differences between two of them."""

from __future__ import annotations

import io
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.common import print_columns, warn
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.csv_rows import csv_writer
from zoo_core.wording import short_seconds

if TYPE_CHECKING:
    from zoo_core.runs.summary import RunSummary

COLUMNS = (
    "run",
    "backbone",
    "head",
    "strategy",
    "weights",
    "data",
    "score",
    "95 % interval",
    "baseline",
    "images",
    "s",
    "date",
)
SPARED = ("s", "baseline", "weights", "images", "head", "date", "strategy")
"""The columns that a narrow terminal does without, the first one first; `--csv` has all."""


class _Runs(click.Group):
    """`zoo runs [FOLDER]` lists; `zoo runs diff A B` compares."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return "list", self.commands["list"], args

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options of the listing, then the commands."""
        self.commands["list"].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(cls=_Runs, invoke_without_command=True)
def runs() -> None:
    """List the runs below a folder (`zoo runs [FOLDER]`), or compare two (`zoo runs diff A B`).

    \b
    zoo runs                                every run below ./runs
    zoo runs --data photos/ --best 5        the five best on these photos
    zoo runs --csv > runs.csv
    zoo runs diff runs/a runs/b             the settings and results that differ
    """


@runs.command("list")
@click.argument("folder", default="runs", type=click.Path(path_type=Path))
@click.option("--data", help="Only runs on these data: a path or name as `--data` had it.")
@click.option("--best", type=click.IntRange(1), metavar="N", help="Only the N best finished runs, best first.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV to standard output.")
@json_option
def list_(folder: Path, data: str | None, best: int | None, as_csv: bool, as_json: bool) -> None:
    """List every run below FOLDER (./runs), oldest first; with --best, the best first."""
    from zoo_core.runs.summary import best_runs, find_runs, is_on

    found, damaged = find_runs(folder)
    warn(damaged)
    chosen = [run for run in found if data is None or is_on(run, data)]
    if best is not None:
        chosen, doubts = best_runs(chosen, best, of_one_place=data is not None)
        warn(doubts)
    if as_json:
        print_json({"runs": [asdict(run) for run in chosen]})
    elif as_csv:
        click.echo(_csv(chosen), nl=False)
    elif chosen:
        rows = [_cells(run) for run in chosen]
        print_columns(COLUMNS, rows, right={"score", "baseline", "images", "s"}, spared=SPARED)
    else:
        narrowed = f" on {data}" if data is not None and found else ""
        click.echo(f"No {'finished ' if best else ''}run{narrowed} below {folder}. `zoo finetune` makes one.", err=True)


@runs.command()
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@json_option
def diff(first: Path, second: Path, as_json: bool) -> None:
    """Show the settings, the facts and the results in which the runs FIRST and SECOND differ."""
    from zoo_core.runs.summary import differences_of

    facts, results = differences_of(first, second)
    if as_json:
        print_json({name: [asdict(one) for one in found] for name, found in (("facts", facts), ("results", results))})
        return
    if not facts and not results:
        click.echo(f"{first} and {second} differ in nothing but their time.")
        return
    rows = [[one.name, _shown(one.first), _shown(one.second)] for one in (*facts, *results)]
    print_columns(("name", str(first), str(second)), rows, right=())


def _cells(run: RunSummary) -> list[str]:
    from zoo_core.tasks import task_named

    own = {} if run.metric is None else {"metric": run.metric, "higher_is_better": run.higher_is_better}
    metric = task_named(run.task).metric_of(own)
    if run.score is None or run.metric is None:
        spent = run.seconds or 0.0
        score = f"epoch {run.epochs} of {run.planned_epochs}" if run.seconds is None else "not measured"
        seconds = "-" if run.seconds is None else short_seconds(spent) if spent < 10 else f"{spent:.0f}"
    else:
        spent = run.seconds or 0.0
        score = metric.text(run.score)
        seconds = short_seconds(spent) if spent < 10 else f"{spent:.0f}"
    low_high = "-" if run.interval is None else metric.interval_text(run.interval)
    constant = "-"
    if run.baseline is not None and run.metric is not None:
        constant = metric.text(run.baseline)
    images = "-" if run.images is None else str(run.images)
    facts = [run.directory, run.backbone, run.head, run.strategy, run.weights, run.data]
    return [*facts, score, low_high, constant, images, seconds, run.created[:10]]


def _csv(found: list[RunSummary]) -> str:
    from zoo_core.runs.summary import RunSummary

    text = io.StringIO()
    writer = csv_writer(text)
    names = [field.name for field in fields(RunSummary) if field.name != "interval"]
    writer.writerow([*names, "interval_low", "interval_high"])
    for run in found:
        values = asdict(run)
        cells = [" ".join(one) if isinstance(one, tuple) else one for one in map(values.get, names)]
        writer.writerow([*cells, *(run.interval or ("", ""))])
    return text.getvalue()


def _shown(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
