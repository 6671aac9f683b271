"""`zoo similar RUN|BACKBONE PHOTO`: the images of a data set that are most similar to a photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from zoo_core.cli.common import (
    announce,
    catalog_of,
    computed_in_words,
    console,
    json_option,
    print_json,
    progress_of,
    shown,
    table,
    tell_left_out,
)
from zoo_core.cli.options import Command, given_settings, options_of
from zoo_core.errors import UsageError, printable
from zoo_core.paths import check_writable, user_path
from zoo_core.settings import FinetuneConfig


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
    is_default = ctx.get_parameter_source("out") is ParameterSource.DEFAULT
    _check_target(out, photo, user_path(config.data_text), is_default=is_default)
    catalog = catalog_of(ctx)
    announce("loading the model and the list of images")
    from zoo_core.embedding.picture import draw_similar
    from zoo_core.embedding.similar import similar as find_similar
    from zoo_core.tasks import task_named

    with progress_of("looking at the images") as scanning, progress_of("computing features") as watch:
        found = find_similar(model, photo, config, catalog, top=top, scanning=scanning, watch=watch)
    tell_left_out(found.source)
    if as_json:
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
        draw_similar(out, found, model)
        return
    screen = console()
    if found.copies:
        screen.print(f"{shown(photo)} itself is among these images, as {shown(', '.join(found.copies[:3]))}.")
    labels = (task_named(found.source.task).output,) if found.source.classes else ()
    made = table("image", *labels, "similarity", right=("similarity",))
    for one in found.neighbours:
        made.add_row(shown(one.image), *([shown(one.answer)] if labels else []), f"{one.similarity:.3f}")
    screen.print(made)
    draw_similar(out, found, model)
    images = sum(len(part) for part in found.source.parts.values())
    screen.print(f"The picture is {shown(out)}. {computed_in_words(found.num_computed, images + 1)}")


def _check_target(out: Path, photo: Path, data: Path, *, is_default: bool) -> None:
    """Raise UsageError unless a picture can be written there without harm to a file or to the data.

    The default file is replaced where it is the picture of an earlier call.
    """
    if out.suffix.lower() != ".png":
        raise UsageError(
            f"the picture is a PNG file, and '{printable(str(out))}' does not end in .png. Give another --out."
        )
    place = out.resolve()
    if is_default and data.is_dir() and place.is_relative_to(data.resolve()):
        raise UsageError(
            f"here {printable(str(out))} would be one of the images of {printable(str(data))}. Give --out a place outside of "
            "that folder."
        )
    if out.exists() and (not is_default or place == photo.resolve() or not _is_drawn(out)):
        raise UsageError(f"{printable(str(out))} exists already. Give another --out, or remove it.")
    check_writable(out)


def _is_drawn(path: Path) -> bool:
    """Whether a file is a picture of zoo's: matplotlib signs those that it draws."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return str(image.info.get("Software", "")).startswith("Matplotlib")
    except (OSError, Image.DecompressionBombError):
        return False
