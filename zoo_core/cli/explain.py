"""`zoo explain RUN|BACKBONE WHAT...`: heat maps of the places in an image that speak for an
answer."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.common import announce, catalog_of, console, progress_of, shown, table, warn
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.left_out import raise_for_images
from zoo_core.cli.pictures import check_picture_target, draw_if_possible
from zoo_core.errors import ZooError
from zoo_core.explaining import METHODS

if TYPE_CHECKING:
    from zoo_core.catalog import Catalog
    from zoo_core.explaining.explain import Explainer, Explanation
    from zoo_core.explaining.nearest import TrainingImages

FEW = 10  # images whose nearest ones are named on the screen


@click.command()
@click.argument("model", metavar="RUN|BACKBONE")
@click.argument("what", nargs=-1, required=True, metavar="WHAT...")
@click.option("--at", help="Stage behind which the map is computed (the last one whose map is not empty).")
@click.option("--method", default=METHODS[0], show_default=True, type=click.Choice(METHODS), help="Way to compute it.")
@click.option("--of", "output", help="Class, label or number to explain (the most probable one).")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default="explained.png",
    show_default=True,
    help="PNG file for the picture; the default is replaced.",
)
@click.option(
    "--nearest",
    type=click.IntRange(0, 5),
    default=3,
    show_default=True,
    help="So many of a run's training images that are most like each one; 0 looks for none.",
)
@click.option("--weights", default="default", help="Which weights of a backbone (its first).")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, xpu or mps.")
@json_option
@click.pass_context
def explain(
    ctx: click.Context,
    model: str,
    what: tuple[str, ...],
    at: str | None,
    method: str,
    output: str | None,
    out: Path,
    nearest: int,
    weights: str,
    device: str,
    as_json: bool,
) -> None:
    """Show the places in an image that speak for the answer of a run or of a pretrained backbone.

    WHAT is an image, a folder, a pattern in quotes, an http(s) address, or - for standard input.
    The picture has each image as the network sees it, and a heat map over it. Each map is checked:
    where it is right, deleting its hottest places takes the answer away sooner than deleting places
    by chance. Beside it stand the training images of a run that are most like it, where they are
    still on this machine.

    \b
    zoo explain runs/resnet50-head-only-photos-1 photo.jpg
    zoo explain efficientnet_lite0 photos/ --method layer-cam --at blocks5 -o maps.png
    """
    from zoo_core.answering.images import named_images

    check_picture_target(ctx, out, map(Path, what))
    images = named_images(what, lambda: getattr(sys.stdin, "buffer", None))
    catalog = catalog_of(ctx)
    announce("loading the model")
    from zoo_core.explaining.explain import open_explainer
    from zoo_core.explaining.picture import MOST, draw_explanations

    explainer = open_explainer(model, catalog, at=at, method=method, output=output, weights=weights, device=device)
    explainer = replace(explainer, training=_training_images(explainer, catalog, nearest, device))
    rows: list[dict[str, Any]] = []
    texts: list[str] = []
    drawn: list[Explanation] = []
    unexplained: list[str] = []
    with progress_of("explaining") as watch:
        for one in explainer.explanations(images, unexplained):
            rows.append(_to_dict(one))
            texts.append(one.text)
            if len(drawn) < MOST:
                drawn.append(one)
            watch(len(rows) + len(unexplained), len(images))
    if len(images) == 1:  # its error alone is told, without an empty table
        raise_for_images(unexplained, 1, "explanation")
    # first: a reader of the output may leave
    is_drawn = bool(drawn) and draw_if_possible(out, lambda picture: draw_explanations(picture, drawn))
    if as_json:
        picture = str(out) if is_drawn else None
        print_json(
            {
                "model": model,
                "method": method,
                "picture": picture,
                "explanations": rows,
                "problems": unexplained,
            }
        )
    elif drawn:
        _print_table(rows, texts)
        if is_drawn:
            more = f", with the first {MOST}" if len(rows) > MOST else ""
            click.echo(f"The picture is {shown(out)}{more}.")
    raise_for_images(unexplained, len(images), "explanation")


def _training_images(explainer: Explainer, catalog: Catalog, count: int, device: str) -> TrainingImages | None:
    """The training images of a run; None, with a warning, where they cannot be had."""
    from zoo_core.explaining.nearest import open_training_images

    if explainer.predictor.directory is None or not count:
        return None
    try:
        with progress_of("looking at the training images") as scanning, progress_of("computing features") as watch:
            return open_training_images(
                explainer.predictor.directory, catalog, count=count, device=device, scanning=scanning, watch=watch
            )
    except ZooError as error:
        warn([f"no nearest training images: {error}"])
        return None


def _to_dict(one: Explanation) -> dict[str, Any]:
    found = one.deletion
    checked = found and {"by_map": found.by_map, "by_chance": found.by_chance, "best_by_chance": found.best_by_chance}
    return {
        "image": one.image,
        "answer": one.name,
        "value": one.value,
        "at": one.at,
        "map": one.cells_HW.tolist(),
        "deletion": checked,
        "nearest": one.nearest
        and [{"image": near.image, "answer": near.answer, "similarity": near.similarity} for near in one.nearest],
    }


def _print_table(rows: list[dict[str, Any]], texts: list[str]) -> None:
    """The explanations, with their values in words."""
    areas = ("by the map", "by chance", "best by chance")
    made = table("image", "answer", "value", "at", *areas, right=("value", *areas))
    for row, text in zip(rows, texts, strict=True):
        found = row["deletion"]
        cells = ["-"] * 3 if found is None else [f"{area:.2f}" for area in found.values()]
        made.add_row(
            shown(row["image"]),
            shown(row["answer"]),
            text,
            row["at"],
            *cells,
        )
    screen = console()
    screen.print(made)
    for row in rows if len(rows) <= FEW else ():
        told = [f"{near['image']} ({near['answer']}, {near['similarity']:.2f})" for near in row["nearest"] or ()]
        if told:
            screen.print(f"Nearest training images of {shown(row['image'])}: {shown(', '.join(told))}.")
    checked = [row["deletion"] for row in rows if row["deletion"]]
    if not checked:
        return
    screen.print(
        "The last columns: the part of the answer that is left, on average, while places are deleted, the hottest of "
        "the map first, or those of five maps of chance."
    )
    doubtful = sum(found["by_map"] >= found["best_by_chance"] for found in checked)
    if doubtful:
        screen.print(f"Maps that say no more than chance: {doubtful} of {len(checked)}.")
