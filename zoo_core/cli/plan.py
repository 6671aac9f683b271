"""`zoo plan`: the phases of a strategy and their cost, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.common import catalog_of, console, json_option, print_json, progress_of, table
from zoo_core.cli.options import Command, Option, setting_option
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.fields import Auto
from zoo_core.wording import human_count, megabytes

if TYPE_CHECKING:
    from zoo_core.training.estimate import Estimate


@click.command(cls=Command)
@setting_option("backbone", required=True)
@setting_option("strategy", required=True)
@setting_option("epochs", default=10)
@click.option("--data", metavar="DATA", help="Your images: estimate time and memory for them, on this machine.")
@setting_option("head", default="linear")
@setting_option("batch_size", default=32)
@click.option(
    "--plot",
    cls=Option,
    old=["picture"],
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the plan to this PNG file.",
)
@json_option
@click.pass_context
def plan(
    ctx: click.Context,
    backbone: str,
    strategy: str,
    epochs: int,
    data: str | None,
    head: str,
    batch_size: int | Auto,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Show the plan of a strategy: the stages trained in each epoch, and their learning rates.

    \b
    zoo plan --backbone resnet50 --strategy last:2
    zoo plan --backbone resnet50 --strategy last:2 --data photos/
    zoo plan --backbone vgg16 --strategy gradual:every=2 --epochs 12 --plot plan.png
    """
    catalog = catalog_of(ctx)
    network, wanted = catalog.backbone(backbone), catalog.strategy(strategy)
    from zoo_core.model.adapt import adapt, make_plan
    from zoo_core.model.assemble import build_network, trainable_parameters
    from zoo_core.model.shapes import stage_shapes
    from zoo_core.weights.load import build_shapes

    made = make_plan(wanted, network.spec.stages, epochs)
    base, _ = build_shapes(lambda: build_network(network)).split()
    expected = network.spec.weights[0].preprocessing if network.spec.weights else network.spec.preprocessing
    shapes = stage_shapes(base, expected.channels, expected.size)
    total = sum(parameter.numel() for parameter in base.parameters())
    adapt(wanted, base, made)  # out here, so that nothing it imports is left without storage
    learning = [
        sum(
            parameter.numel()
            for name, rule in zip(made.stages, phase.rules, strict=False)
            for parameter in trainable_parameters(base.stage(name), rule)
        )
        for phase in made.phases
    ]
    kept = [_kept_bytes(made.stages[: made.frozen_depth(phase)], shapes) for phase in made.phases]
    estimates = None
    if data is not None:
        config = FinetuneConfig(
            backbone=backbone,
            strategy=strategy,
            head=head,
            data=data,
            epochs=epochs,
            batch_size=batch_size,
            weights="none",  # the time does not depend on them
            size=expected.size,
        )
        estimates = _estimates(config, catalog)
    if plot is not None:
        from zoo_core.runs.plots import plot_plan

        plot_plan(plot, made, f"{network} with {wanted}")
    if as_json:
        facts = {"learning_parameters": learning, "bytes_kept_per_image": kept}
        estimated = None if estimates is None else [vars(one) for one in estimates]
        shown = {"backbone": str(network), "strategy": str(wanted), **made.to_dict(), **facts, "estimates": estimated}
        print_json(shown)
        return
    _show(made, learning, kept, estimates, total)
    if plot is not None:
        console().print(f"The plan is drawn in {plot}.")


def _kept_bytes(front: tuple[str, ...], shapes: dict[str, tuple[int, ...]]) -> int:
    """The bytes of the features at the split point of one view of one image, in half precision."""
    from math import prod

    return 2 * prod(shapes[front[-1]]) if front else 0


def _estimates(config: FinetuneConfig, catalog: Any) -> list[Estimate]:
    from zoo_core.training.estimate import estimate
    from zoo_core.training.job import prepare

    with progress_of("inspecting the images") as watch:
        job = prepare(config, catalog, watch)
    return estimate(job)


def _show(made: Any, learning: list[int], kept: list[int], estimates: list[Estimate] | None, total: int) -> None:
    spans = []
    start = 1
    for phase in made.phases:
        end = start + phase.epochs - 1
        spans.append(f"epoch {start}" if start == end else f"epochs {start}-{end}")
        start = end + 1
    shown = table("stage", *spans, right=tuple(spans))
    for position, part in enumerate(made.parts):
        shown.add_row(part, *(_cell(phase.rules[position]) for phase in made.phases))
    shown.add_section()
    shown.add_row("trained in the backbone", *(human_count(count) for count in learning))
    fronts = [made.frozen_depth(phase) for phase in made.phases]
    shown.add_row(
        "frozen prefix", *("-" if front == 0 else f"{front} of {len(made.stages)} stages" for front in fronts)
    )
    shown.add_row("cache, 1,000 views", *("-" if not size else megabytes(1000 * size) for size in kept))
    if estimates is not None:
        shown.add_section()
        shown.add_row("computed once", *(_seconds(one.once) for one in estimates))
        shown.add_row("each epoch", *(_seconds(one.epoch) for one in estimates))
        shown.add_row("memory", *(megabytes(one.memory) for one in estimates))
    out = console()
    out.print(shown)
    out.print(f"The conv base has {human_count(total)} parameters; the head comes on top and is always trained.")
    if estimates is not None:
        out.print(
            "Time and memory are estimates from a few images on this machine; features that are cached already cost nothing."
        )
    out.print("A number is the share of the learning rate; * means that normalisation statistics stay frozen.")


def _seconds(seconds: float) -> str:
    """A duration as a person says it."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _cell(rule: Any) -> str:
    if not rule.trainable:
        return "[dim]frozen[/dim]"
    parameters = "" if rule.parameters == "all" else f" {rule.parameters}"
    return f"{rule.lr:.3g}{parameters}{'*' if rule.statistics == 'frozen' else ''}"
