"""`zoo export RUN --to FORMAT`: a run as a file of another format."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from zoo_core.cli.common import announce, catalog_of, progress_of, warn
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.left_out import bad_images_option
from zoo_core.errors import UsageError, printable

if TYPE_CHECKING:
    from zoo_core.exporting.export import Export
    from zoo_core.settings import BadImages


@click.command()
@click.argument("run", type=click.Path())
@click.option("--to", required=True, metavar="FORMAT", help="NAME or NAME:options; `zoo list exporters` shows all.")
@click.option("--int8", is_flag=True, help="Integers of 8 bits, with ranges from the run's training images.")
@click.option("--fp16", is_flag=True, help="Floats of 16 bits: half the bytes.")
@click.option(
    "--with-preprocessing", is_flag=True, help="The file takes bytes and normalises them; else normalised images."
)
@click.option(
    "-o", "--out", type=click.Path(), help="The file (model.SUFFIX in the run's directory, here for a run of the Hub)."
)
@click.option("--data", help="Images to check it on, as for finetune (the held-out part of the run's own data).")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, max=1),
    help="The largest difference of an answer; of a number above 1, as a share of it (0.0001; with --fp16 0.02, with "
    "--int8 any).",
)
@click.option(
    "--max-loss",
    type=click.FloatRange(min=0, max=1),
    default=0.01,
    show_default=True,
    help="The largest loss of accuracy (labels: mean average precision, numbers: R2); 0.01 is one point, and of an R2 "
    "below -1 a share of it.",
)
@bad_images_option
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    run: str,
    to: str,
    int8: bool,
    fp16: bool,
    with_preprocessing: bool,
    out: str | None,
    data: str | None,
    tolerance: float | None,
    max_loss: float,
    bad_images: BadImages | None,
    as_json: bool,
) -> None:
    """Write a run as one file of another format.

    The file is run on images before it is kept: where an answer differs from the run's by more
    than the tolerance, or where more of the accuracy is lost than allowed, nothing is written.

    \b
    zoo export runs/first --to torch-export
    zoo export runs/first --to onnx --with-preprocessing
    zoo export runs/first --to onnx --int8 -o first.onnx --data photos/
    """
    if int8 and fp16:
        raise UsageError("--int8 and --fp16 exclude each other. Leave one out.")
    catalog = catalog_of(ctx)
    announce("loading the model")
    from zoo_core.exporting.export import export_run

    with (
        progress_of("looking at the images") as scanning,
        progress_of("reading training images") as calibrating,
        progress_of("checking the file") as watch,
    ):
        made = export_run(
            run,
            to,
            out=out,
            precision="int8" if int8 else "fp16" if fp16 else None,
            with_preprocessing=with_preprocessing,
            data=data,
            tolerance=tolerance,
            max_loss=max_loss,
            bad_images=bad_images,
            catalog=catalog,
            message=announce,
            scanning=scanning,
            calibrating=calibrating,
            watch=watch,
        )
    if made.calibration is not None and (problem := made.calibration["problem"]) is not None:
        warn([f"the ranges of integers follow from images of --data and not from those of the training: {problem}"])
    if as_json:
        print_json({"run": run, **asdict(made), "path": str(made.path)})
        return
    for line in _told(made):
        click.echo(line)


def _told(made: Export) -> list[str]:
    """The file, and how its answers compare, in sentences."""
    from zoo_core.tasks import task_named

    takes = "takes bytes" if made.with_preprocessing else "takes normalised images"
    lines = [f"{printable(str(made.path))}: {made.bytes / 1e6:.1f} MB, {made.format}, {takes}"]
    if made.calibration is not None:
        lines.append(f"Ranges follow from {made.calibration['images']} images ({made.calibration['part']}).")
    task = task_named(made.task)
    metric = task.metric
    changed = "" if task.answers_with_all else f", and {made.changed or 'none'} of the answers changed"
    lines.append(
        f"Checked on {made.images} images ({made.part}): the largest difference of an answer is {made.difference:.1g}{changed}."
    )
    pairs = (("the run", made.before, made.before_interval), ("the file", made.after, made.after_interval))
    scores = [
        f"{metric.text(score)} of {name}" + (f" ({metric.interval_text(interval)})" if interval else "")
        for name, score, interval in pairs
    ]
    title = metric.title[:1].upper() + metric.title[1:]
    lines.append(f"{title}, with 95 % intervals: {', '.join(scores)}.")
    return lines
