"""`zoo plan`: what a strategy would do, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from zoo_core.cli.common import BACKBONE, STRATEGY, catalog_of, console, human_count, json_option, print_json, table


@click.command()
@click.option("--backbone", required=True, type=BACKBONE, help="A name from `zoo list`.")
@click.option("--strategy", required=True, type=STRATEGY, help="A name from `zoo list strategies`, with options.")
@click.option(
    "--epochs", default=10, show_default=True, type=click.IntRange(min=1), help="How many epochs to plan for."
)
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw the plan to this PNG file.")
@json_option
@click.pass_context
def plan(ctx: click.Context, backbone: str, strategy: str, epochs: int, picture: Path | None, as_json: bool) -> None:
    """Show what a strategy would do: which stages learn in which epochs, at which share of the learning rate.

    \b
    zoo plan --backbone resnet50 --strategy last:2
    zoo plan --backbone vgg16 --strategy gradual:every=2 --epochs 12 --picture plan.png
    """
    catalog = catalog_of(ctx)
    network, wanted = catalog.backbone(backbone), catalog.strategy(strategy)
    from zoo_core.model.adapt import adapt
    from zoo_core.model.assemble import build_network, learning_parameters
    from zoo_core.training.job import make_plan
    from zoo_core.weights.load import without_storage

    made = make_plan(wanted, network.spec, epochs)
    with without_storage():
        base, _ = build_network(network).split()
    total = sum(parameter.numel() for parameter in base.parameters())
    adapt(wanted, base, made)  # out here, so that nothing it imports is left without storage
    learning = [
        sum(
            parameter.numel()
            for name, rule in zip(made.stages, phase.rules, strict=False)
            for parameter in learning_parameters(base.stage(name), rule)
        )
        for phase in made.phases
    ]
    if picture is not None:
        from zoo_core.runs.plots import plot_plan

        plot_plan(picture, made, f"{network} with {wanted}")
    if as_json:
        print_json(
            {"backbone": str(network), "strategy": str(wanted), **made.to_dict(), "learning_parameters": learning}
        )
        return
    _show(made, learning, total)
    if picture is not None:
        console().print(f"The plan is drawn in {picture}.")


def _show(made: Any, learning: list[int], total: int) -> None:
    spans = []
    start = 1
    for phase in made.phases:
        end = start + phase.epochs - 1
        spans.append(f"epoch {start}" if start == end else f"epochs {start}-{end}")
        start = end + 1
    shown = table("stage", *spans, right=tuple(spans))
    for position, row in enumerate(made.rows):
        shown.add_row(row, *(_cell(phase.rules[position]) for phase in made.phases))
    shown.add_section()
    shown.add_row("learning in the base", *(human_count(count) for count in learning))
    fronts = [made.front(phase) for phase in made.phases]
    shown.add_row("frozen front", *("-" if front == 0 else f"{front} of {len(made.stages)} stages" for front in fronts))
    out = console()
    out.print(shown)
    out.print(f"The conv base has {human_count(total)} parameters; the head comes on top and always learns.")
    out.print("A number is the share of the learning rate; * means that normalisation statistics stay frozen.")


def _cell(rule: Any) -> str:
    if not rule.learns:
        return "[dim]frozen[/dim]"
    what = "" if rule.parameters == "all" else f" {rule.parameters}"
    return f"{rule.lr:.3g}{what}{'*' if rule.statistics == 'frozen' else ''}"
