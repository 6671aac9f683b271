"""`zoo resume`: continue an interrupted run."""

from __future__ import annotations

from typing import Any

import click

from zoo_core.cli.json_answers import json_option
from zoo_core.cli.options import MORE_EPOCHS, given_settings, options_of
from zoo_core.cli.running import devices_option, resume_run, start_together


@click.command()
@click.argument("run", type=click.Path())
@click.option(
    "--epochs",
    "more",
    type=MORE_EPOCHS,
    metavar="+N",
    help="Train a finished run for N more epochs, from the weights of its best one.",
)
@options_of("device", "track")
@devices_option
@json_option
@click.pass_context
def resume(
    ctx: click.Context, /, run: str, more: int | None, devices: int | None, as_json: bool, **settings: Any
) -> None:
    """Continue a run from its newest checkpoint, or train a finished one further.

    The run ends as it would have without the interruption: on a CPU with the very same weights. It
    is refused when the images, the classes, a plugin or a version are not those with which it
    began.

    \b
    zoo resume runs/resnet50-head-only-photos-1
    zoo resume runs/resnet50-head-only-photos-1 --epochs +10
    """
    start_together(devices)
    resume_run(ctx, run, given_settings(ctx, settings), as_json=as_json, more_epochs=more)
