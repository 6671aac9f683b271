"""`zoo bench RUN|BACKBONES`: latency, throughput, memory, start-up and accuracy of formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli.common import announce, catalog_of, print_columns, progress_of
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.left_out import bad_images_option
from zoo_core.cli.pictures import check_picture_target
from zoo_core.errors import printable
from zoo_core.options import split_list

if TYPE_CHECKING:
    from zoo_core.benching.measured import Bench, Row
    from zoo_core.settings import BadImages


@click.command()
@click.argument("model", metavar="RUN|BACKBONE[,BACKBONE]")
@click.option(
    "--formats",
    default="torch",
    show_default=True,
    metavar="A,B,...",
    help="torch, as `zoo predict` computes, and formats of `zoo list exporters`.",
)
@click.option("--data", help="Images to measure on, as for finetune (the held-out part of the run's own data).")
@bad_images_option
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Measure on so many cores (all).")
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Of the format torch: auto, cpu, cuda or cuda:N; files run on the CPU.",
)
@click.option(
    "--price",
    type=click.FloatRange(min=0),
    help="Price of this machine for an hour: the table has the cost of a million images.",
)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1), help="Turns of every format.")
@click.option(
    "--seconds",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0.05),
    help="Time of a turn, once for images alone and once for batches.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("bench.png"),
    show_default=True,
    help="PNG file for the picture: accuracy against latency.",
)
@json_option
@click.pass_context
def bench(
    ctx: click.Context,
    model: str,
    formats: str,
    data: str | None,
    bad_images: BadImages | None,
    threads: int | None,
    device: str,
    price: float | None,
    rounds: int,
    seconds: float,
    out: Path,
    as_json: bool,
) -> None:
    """Measure the speed, the memory and the accuracy of a run in several formats.

    All formats get the same images and take turns, each in a process of its own; an image counts
    from the bytes of its file to the answer. Several backbones can be measured before any training:
    they have random weights, a linear head of 1,000 classes and made-up photographs. Exit code 1: a
    format failed.

    \b
    zoo bench runs/first --formats torch,torch-export --price 0.05
    zoo bench resnet18,efficientnet_lite0 --threads 1
    """
    check_picture_target(ctx, out, [Path(model)] if Path(model).is_dir() else [])
    catalog = catalog_of(ctx)
    announce("loading the model")
    from zoo_core.benching.bench import bench as measure
    from zoo_core.benching.models import names_run
    from zoo_core.benching.picture import draw
    from zoo_core.runs.pictures import optional_picture

    models = [model] if names_run(model, catalog) else split_list(model, "the list of backbones")
    with progress_of("looking at the images") as scanning, progress_of("measuring") as watch:
        measured = measure(
            models,
            formats=split_list(formats, "--formats"),
            data=data,
            bad_images=bad_images,
            threads=threads,
            device=device,
            price=price,
            rounds=rounds,
            seconds=seconds,
            catalog=catalog,
            scanning=scanning,
            watch=watch,
        )
    drawn = bool(measured.measured)
    if drawn:
        with optional_picture(out, lambda text: click.echo(text, err=True)):
            draw(out, measured)
    if as_json:
        print_json({"picture": str(out) if drawn else None, **measured.to_dict()})
    else:
        _show(measured)
        if drawn:
            click.echo(f"The picture is {printable(str(out))}.")
    for row in measured.rows:
        if row.problem is not None:
            click.echo(printable(f"error: {row.model}, {row.format}: {row.problem}"), err=True)
    if any(row.problem for row in measured.rows):
        ctx.exit(1)


def _show(bench: Bench) -> None:
    several = len({row.model for row in bench.rows}) > 1
    named = ("model",) if several else ()
    scored = next((row.score.metric.short for row in bench.rows if row.score), None)
    figures = ("ms", "95 %", "99 %", "images/s", "batch", "MB memory", "MB disk", "start s")
    ends = (*((scored,) if scored else ()), *(("a million",) if bench.price is not None else ()))
    rows = [_cells(row, several, scored is not None, bench.price is not None) for row in bench.measured]
    if rows:
        print_columns((*named, "format", *figures, *ends), rows, right=(*figures, "a million"))
    images = f"{bench.timed} images of {printable(bench.data)}" + (f" ({bench.part})" if bench.part else "")
    cores = f"{bench.cores} core{'' if bench.cores == 1 else 's'}"
    click.echo(f"\nMeasured with {images} on {cores}, in {bench.rounds} rounds.")
    click.echo(
        "ms: an image alone, from the bytes of its file to the answer, median and percentiles; images/s: in the best batch."
    )


def _cells(row: Row, with_model: bool, with_score: bool, with_cost: bool) -> list[str]:
    assert row.latency is not None
    assert row.rate is not None
    assert row.bytes is not None
    assert row.start_up is not None
    latency = row.latency
    times = (latency.median, latency.p95, latency.p99)
    score = [str(row.score or "-")] if with_score else []
    cost = [f"{row.cost:.4g}" if row.cost is not None else "-"] if with_cost else []
    return [
        *([row.model] if with_model else []),
        row.format if row.device in (None, "cpu") else f"{row.format} ({row.device})",
        *("-" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in times),
        f"{row.rate:.1f}" if row.rate < 100 else f"{row.rate:.0f}",
        str(row.batch),
        "-" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}",
        f"{row.bytes / 1e6:.1f}",
        f"{row.start_up:.1f}",
        *score,
        *cost,
    ]
