"""`zoo embed RUN|BACKBONE`: the features of images as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.common import announce, catalog_of, computed_in_words, progress_of, tell, tell_left_out
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.options import Command, given_settings, options_of
from zoo_core.errors import printable
from zoo_core.settings import FinetuneConfig

if TYPE_CHECKING:
    from zoo_core.frozen.table import FeatureTable


@click.command(cls=Command)
@click.argument("model", metavar="RUN|BACKBONE")
@options_of("data")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default="features.npz",
    show_default=True,
    help="File to write: .npz, .csv or .parquet.",
)
@click.option(
    "--at",
    default="pooled",
    show_default=True,
    help="Stage whose output is written (`zoo info` lists them); pooled is the vector that a head gets.",
)
@click.option(
    "--views",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Views of each image: the centre, then augmented.",
)
@options_of("weights", "size", "fit", "augment", "task", "bad_images", "cache_dtype", "cache_gb", "device", "workers")
@json_option
@click.pass_context
def embed(ctx: click.Context, /, model: str, out: Path, at: str, views: int, as_json: bool, **settings: Any) -> None:
    """Write the features of images to a file: those of a backbone, or of the base of a run.

    Each image is computed once and cached; `zoo finetune` with a frozen backbone reads the same
    features. Images need no labels.

    \b
    zoo embed efficientnet_lite0 --data photos/
    zoo embed efficientnet_lite0 --data photos/ -o photos.csv
    zoo embed runs/resnet18-full-photos-1 --data photos/ --at layer3 -o maps.npz
    """
    config = FinetuneConfig(backbone=model, views=views, **given_settings(ctx, settings))
    from zoo_core.embedding.files import check_target, write_table

    check_target(out, at)
    catalog = catalog_of(ctx)
    announce("loading the model and the list of images")
    from zoo_core.embedding.features import table_of

    with progress_of("looking at the images") as scanning, progress_of("computing features") as watch:
        table = table_of(model, config, at, catalog, scanning=scanning, watch=watch, message=tell)
    with table, progress_of("writing") as watch:
        write_table(out, table, watch)
        if views == 1 and config.augment != "auto":
            click.echo("--augment: no effect, for a single view is the image as it is (--views).", err=True)
        tell_left_out(table.source)
        if as_json:
            print_json(_json(model, out, table))
        else:
            click.echo(printable(_in_words(out, table)))


def _in_words(out: Path, table: FeatureTable) -> str:
    parts = ", ".join(f"{len(part):,} {name}" for name, part in table.source.parts.items())
    labels = f"{len(table.classes)} {table.outputs}" if table.classes else "no labels"
    shape = " x ".join(f"{length:,}" for length in table.shape)
    written = f"{out}: {shape} numbers ({table.at}) of {table.source.title} ({parts}; {labels})."
    return f"{written} {computed_in_words(table.num_computed, len(table) * table.views)}"


def _json(model: str, out: Path, table: FeatureTable) -> dict[str, Any]:
    return {
        "model": model,
        "data": table.source.title,
        "file": str(out),
        "at": table.at,
        "shape": list(table.shape),
        "views": table.views,
        "parts": [{"part": name, "images": len(part)} for name, part in table.source.parts.items()],
        "classes": list(table.classes),
        "skipped": table.source.skipped,
        "computed": table.num_computed,
    }
