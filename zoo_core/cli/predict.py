"""`zoo predict RUN|BACKBONE IMAGE...`: the answers of a model for images."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from zoo_core.cli.common import (
    announce,
    catalog_of,
    console,
    json_option,
    print_json,
    progress_of,
    shown,
    table,
)
from zoo_core.errors import printable


@click.command()
@click.argument("model", metavar="RUN|BACKBONE")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE...")
@click.option(
    "--top", default=5, show_default=True, type=click.IntRange(min=1), help="How many classes to name for an image."
)
@click.option("--weights", default="default", help="Which weights of a backbone (its first).")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@json_option
@click.pass_context
def predict(
    ctx: click.Context, model: str, images: tuple[Path, ...], top: int, weights: str, device: str, as_json: bool
) -> None:
    """Predict with a run, or classify with a pretrained backbone and its original classifier.

    A run says the likeliest classes, the labels with a probability above 0.5, or the numbers that it was trained for.

    \b
    zoo predict runs/resnet50-head-only-photos-1 photo.jpg
    zoo predict efficientnet_lite0 *.jpg --top 3
    """
    catalog = catalog_of(ctx)
    announce("loading the model")
    from zoo_core.library import load

    predictor = load(model, weights=weights, device=device, catalog=catalog)
    predictions = []
    with progress_of("predicting") as watch:
        for one in predictor.predictions(images, top=top):
            predictions.append(one)
            watch(len(predictions), len(images))
    task = predictor.objective.task
    if not task.single_label and ctx.get_parameter_source("top") is ParameterSource.COMMANDLINE:
        click.echo(f"--top has no effect: it limits classes, and this model answers with {task.outputs}.", err=True)
    if as_json:
        rows = [
            {
                "image": one.image,
                "answers": [{task.output: name, task.answer: answer} for name, answer in one.answers],
                "hint": one.hint,
            }
            for one in predictions
        ]
        print_json({"model": model, "predictions": rows})
        return
    made = table("image", task.output, task.answer, right=(task.answer,))
    for one in predictions:
        for position, (name, answer) in enumerate(one.answers or [("-", None)]):
            image = shown(one.image) if position == 0 else ""
            text = "-" if answer is None else task.answer_text(answer)
            made.add_row(image, shown(name), text)
    console().print(made)
    doubtful = [one for one in predictions if one.hint]
    if doubtful:
        click.echo(f"{printable(doubtful[0].image)}: {doubtful[0].hint}.", err=True)
    if len(doubtful) > 1:
        click.echo(f"So it is with {len(doubtful)} of the {len(predictions)} images.", err=True)
