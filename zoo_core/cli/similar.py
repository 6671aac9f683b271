"""`zoo similar RUN|BACKBONE PHOTO`: the images of a data set that are most similar to a photo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.common import (
    announce,
    catalog_of,
    computed_in_words,
    console,
    progress_of,
    shown,
    table,
    tell,
    tell_left_out,
    warn,
)
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.options import Command, given_settings, options_of
from zoo_core.cli.pictures import check_picture_target
from zoo_core.paths import user_path
from zoo_core.settings import FinetuneConfig

if TYPE_CHECKING:
    from zoo_core.embedding.similar import Similar


@click.command(cls=Command)
@click.argument("model", metavar="RUN|BACKBONE")
@click.argument("photo", type=click.Path(path_type=Path))
@options_of("data")
@click.option("--top", default=5, show_default=True, type=click.IntRange(1), help="How many images to show.")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default="similar.png",
    show_default=True,
    help="PNG file for the picture; the default is replaced.",
)
@options_of("weights", "size", "fit", "task", "bad_images", "cache_dtype", "cache_gb", "device", "workers")
@json_option
@click.pass_context
def similar(
    ctx: click.Context, /, model: str, photo: Path, top: int, out: Path, as_json: bool, **settings: Any
) -> None:
    """Find the images that are most similar to a photo, and draw them beside it.

    Similarity is the cosine of pooled features: 1 for the same direction. The images need no
    labels; features that `zoo finetune` or `zoo embed` cached are not computed again.

    \b
    zoo similar efficientnet_lite0 photo.jpg --data photos/
    zoo similar runs/resnet18-full-photos-1 photo.jpg --data photos/ --top 10 -o neighbours.png
    """
    config = FinetuneConfig(backbone=model, **given_settings(ctx, settings))
    check_picture_target(ctx, out, [photo, user_path(config.data_text)])
    catalog = catalog_of(ctx)
    announce("loading the model and the list of images")
    from zoo_core.embedding.picture import draw_similar
    from zoo_core.embedding.similar import similar as find_similar
    from zoo_core.runs.pictures import letters_told

    with progress_of("looking at the images") as scanning, progress_of("computing features") as watch:
        found = find_similar(model, photo, config, catalog, top=top, scanning=scanning, watch=watch, message=tell)
    tell_left_out(found.source)
    try:  # the picture first: a reader of the output may leave
        with letters_told(lambda text: warn([text])):
            draw_similar(out, found, model)
    finally:  # the neighbours are told where it fails, too
        (_print_json if as_json else _print_table)(found, model, photo, out)
    if not as_json:
        images = sum(len(part) for part in found.source.parts.values())
        console().print(f"The picture is {shown(out)}. {computed_in_words(found.num_computed, images + 1)}")


def _print_json(found: Similar, model: str, photo: Path, out: Path) -> None:
    print_json(
        {
            "model": model,
            "photo": str(photo),
            "data": found.source.title,
            "copies": list(found.copies),
            "neighbours": [
                {"image": one.image, "similarity": one.similarity, "answer": one.answer or None}
                for one in found.neighbours
            ],
            "computed": found.num_computed,
            "picture": str(out),
        }
    )


def _print_table(found: Similar, model: str, photo: Path, out: Path) -> None:
    from zoo_core.tasks import task_named

    screen = console()
    if found.copies:
        screen.print(f"{shown(photo)} itself is among these images, as {shown(', '.join(found.copies[:3]))}.")
    labels = (task_named(found.source.task).output,) if found.source.classes else ()
    made = table("image", *labels, "similarity", right=("similarity",))
    for one in found.neighbours:
        made.add_row(shown(one.image), *([shown(one.answer)] if labels else []), f"{one.similarity:.3f}")
    screen.print(made)
