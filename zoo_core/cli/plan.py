"""`zoo plan`: the phases of a strategy and their cost, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.common import catalog_of, console, progress_of, table
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.options import Command, Option, asked_settings, config_option, setting_options
from zoo_core.errors import printable
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.fields import settings_of
from zoo_core.wording import duration, human_count, megabytes

if TYPE_CHECKING:
    from zoo_core.freezing.plan import Plan, Rule
    from zoo_core.training.planning import Planned

WITHOUT_IMAGES = {
    "backbone",
    "head",
    "strategy",
    "weights",
    "epochs",
    "lr",
    "base_lr",
    "size",
    "fit",
    "data",
    "from_run",
}
WITHOUT_IMAGES |= {"cache_dtype", "cache_gb", "views"}
"""The settings that a plan without images depends on."""
OF_A_RUN = {"out", "save_every"}
"""The settings that no plan depends on, for no run is made."""


@click.command(cls=Command)
@setting_options
@config_option
@click.option(
    "--plot",
    cls=Option,
    old=["picture"],
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the plan to this PNG file.",
)
@click.option(
    "--plot-images",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw some images of --data to this PNG file, as the network will see them.",
)
@json_option
@click.pass_context
def plan(
    ctx: click.Context,
    /,
    config: Path | None,
    plot: Path | None,
    plot_images: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Show the plan of a training: the stages trained in each epoch, and their learning rates.

    It takes every setting of `zoo finetune`. With --data it is the plan for these images, with estimates of time and
    memory on this machine; without, a plan for few images.

    \b
    zoo plan --backbone resnet50 --strategy last:2
    zoo plan --backbone resnet50 --data photos/
    zoo plan --backbone vgg16 --data photos/ --strategy full --augment rand --plot-images seen.png
    zoo plan --backbone vgg16 --strategy gradual:every=2 --epochs 12 --plot plan.png
    """
    asked = asked_settings(ctx, config, settings)
    chosen = FinetuneConfig.from_dict(asked)
    if plot_images is not None and "data" not in asked:
        raise click.UsageError("--plot-images draws images of --data, and none is given. Add --data.", ctx)
    catalog = catalog_of(ctx)
    from zoo_core.training.planning import plan_for_images, plan_without_images

    idle = asked.keys() & OF_A_RUN if "data" in asked else asked.keys() - WITHOUT_IMAGES
    if idle:
        names = ", ".join(f"--{one.option}" for name, one in settings_of(FinetuneConfig).items() if name in idle)
        reason = "nothing is trained" if "data" in asked else "without --data the plan is the same"
        click.echo(f"{names}: no effect, {reason}.", err=True)
    if "data" in asked:
        with progress_of("inspecting the images") as watch:
            planned = plan_for_images(chosen, catalog, watch, sample=plot_images)
    else:
        planned = plan_without_images(chosen, catalog)
    for note in planned.notes:
        click.echo(note, err=True)
    if plot is not None:
        from zoo_core.runs.plots import plot_plan

        plot_plan(plot, planned.plan, planned.rates, f"{planned.backbone} with {planned.strategy}")
    if as_json:
        print_json(_json(planned))
        return
    _show(planned)
    if plot is not None:
        click.echo(printable(f"The plan is drawn in {plot}."))
    if plot_images is not None:
        click.echo(printable(f"Some images are drawn in {plot_images}, as the network will see them."))


def _json(planned: Planned) -> dict[str, Any]:
    return {
        "backbone": planned.backbone,
        "strategy": planned.strategy,
        **planned.plan.to_dict(),
        "rates": [[rates[part] for part in planned.plan.parts] for rates in planned.rates],
        "range_test": planned.lr_search == "range test",
        "lr_search": planned.lr_search or None,
        "learning_parameters": planned.trained,
        "bytes_kept_per_image": planned.bytes_cached,
        "groups": planned.groups,
        "augment": planned.augment,
        "estimates": None if planned.estimates is None else [vars(one) for one in planned.estimates],
    }


def _show(planned: Planned) -> None:
    plan, estimates = planned.plan, planned.estimates
    spans = _spans(plan)
    shown = table("stage", *spans, right=tuple(spans))
    for position, part in enumerate(plan.parts):
        pairs = zip(plan.phases, planned.rates, strict=True)
        shown.add_row(part, *(_cell(phase.rules[position], rates[part]) for phase, rates in pairs))
    shown.add_section()
    shown.add_row("trained in the backbone", *(human_count(count) for count in planned.trained))
    depths = [plan.frozen_depth(phase) for phase in plan.phases]
    shown.add_row("frozen prefix", *(f"{depth} of {len(plan.stages)} stages" if depth else "-" for depth in depths))
    shown.add_row("cache, 1,000 views", *(megabytes(1000 * size) if size else "-" for size in planned.bytes_cached))
    if estimates is not None:
        shown.add_section()
        shown.add_row("computed once", *(duration(one.once) for one in estimates))
        shown.add_row("each epoch", *(duration(one.epoch) for one in estimates))
        shown.add_row("memory", *(megabytes(one.memory) for one in estimates))
    out = console()
    out.print(shown)
    if planned.groups_in_words:
        out.print(f"groups: {planned.groups_in_words}", markup=False)
    if planned.decisions:
        from zoo_core.runs.card import decision_lines

        for line in decision_lines(planned.decisions):
            out.print(f"decided {line}", markup=False)
    if planned.augment is not None:
        out.print(f"Training images vary by the augmentation {planned.augment}.", markup=False)
    out.print(
        f"The backbone has {human_count(planned.parameters)} parameters; the head comes on top and is always trained."
    )
    if estimates is not None:
        out.print(
            "Time and memory are estimates from a few images on this machine; features that are cached already cost nothing."
        )
    finders = {"": "peak learning rates", "range test": "shares of the rate that a range test finds in the training"}
    kind = finders.get(planned.lr_search, "shares of the rate that short trials find when the training starts")
    out.print(f"The numbers are {kind}; * means that normalisation statistics stay frozen.")


def _spans(plan: Plan) -> list[str]:
    """The epochs of each phase in words."""
    spans, start = [], 1
    for phase in plan.phases:
        end = start + phase.epochs - 1
        spans.append(f"epoch {start}" if start == end else f"epochs {start}-{end}")
        start = end + 1
    return spans


def _cell(rule: Rule, rate: float) -> str:
    if not rule.trainable:
        return "[dim]frozen[/dim]"
    parameters = "" if rule.parameters == "all" else f" {rule.parameters}"
    return f"{rate:.3g}{parameters}{'*' if rule.statistics == 'frozen' else ''}"
