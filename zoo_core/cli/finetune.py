"""`zoo finetune`: fit a backbone and a head to your images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo_core.cli.common import announce, catalog_of, progress_of, warn
from zoo_core.cli.json_answers import json_option
from zoo_core.cli.options import Command, MoreEpochs, asked_settings, config_option, given_settings, setting_options
from zoo_core.cli.running import devices_option, report, resume_run, speaks, start_together, watching
from zoo_core.settings import FinetuneConfig
from zoo_core.wording import quoted


@click.command(cls=Command)
@setting_options
@config_option
@click.option(
    "--resume",
    "run",
    type=click.Path(),
    help="Resume an interrupted run, or with --epochs +N train a finished one further (as `zoo resume RUN`).",
)
@devices_option
@click.option("--report", "with_report", is_flag=True, help="Also write a page about the run, report.html.")
@json_option
@click.pass_context
def finetune(
    ctx: click.Context,
    /,
    config: Path | None,
    run: str | None,
    devices: int | None,
    with_report: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Fine-tune a backbone with a new head on your images; create a run directory.

    \b
    zoo finetune --backbone lenet5
    zoo finetune --backbone resnet50 --data photos/
    zoo finetune --backbone resnet18 --data photos.csv --task regression
    zoo finetune --backbone vgg16 --strategy last:1 --head mlp:hidden=256 --data photos/ --epochs 20
    zoo finetune --config runs/resnet50-head-only-photos-1/config.json --seed 1
    """
    start_together(devices)
    if run is not None:
        if config is not None:
            raise click.UsageError("--config is for a new run: a resumed run has its settings. Leave one out.", ctx)
        if with_report:
            raise click.UsageError("--report is for a new run. `zoo report RUN` writes the page of any.", ctx)
        more = settings.pop("epochs") if isinstance(settings["epochs"], MoreEpochs) else None
        resume_run(ctx, run, given_settings(ctx, settings), as_json=as_json, more_epochs=more)
        return
    chosen = FinetuneConfig.from_dict(asked_settings(ctx, config, settings))
    catalog = catalog_of(ctx)
    catalog.backbone(chosen.backbone)  # a wrong name is answered before the engine is loaded
    catalog.head(chosen.head)
    if chosen.strategy != "auto":
        catalog.strategy(chosen.strategy)
    announce("loading the engine, the weights and the list of images")
    from zoo_core.training import run as training

    with progress_of("inspecting the images") as scanning, watching() as callback:
        result = training.finetune(chosen, catalog, callback, callback.show, scanning)
    report(result, as_json=as_json)
    if with_report and speaks():
        from zoo_core.cli.report import DEFAULT, write_page

        if result.measured is None:
            run = quoted(result.directory)
            warn(
                [f"no report: the run held no image out to measure it on. `zoo report {run} --data DATA` takes others"]
            )
            return
        write_page(result.directory, result.directory / DEFAULT, catalog, device=chosen.device, err=as_json)
