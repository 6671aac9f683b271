"""`zoo explain RUN|BACKBONE PHOTO...`: heat maps of what in an image speaks for an answer."""

from __future__ import annotations

from pathlib import Path

import click

from zoo_core.cli.common import announce, catalog_of, console, json_option, print_json, progress_of, shown, table
from zoo_core.errors import UsageError, printable
from zoo_core.paths import check_new_file

METHODS = ("grad-cam", "hires-cam", "layer-cam")  # those of zoo_core.explaining, which imports torch


@click.command()
@click.argument("model", metavar="RUN|BACKBONE")
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PHOTO...")
@click.option("--at", help="Stage behind which the map is computed (the last one that says something; `zoo info`).")
@click.option("--method", default=METHODS[0], show_default=True, type=click.Choice(METHODS), help="How it is computed.")
@click.option("--of", "output", help="Class, label or number to explain (the most probable one).")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default="explained.png",
    show_default=True,
    help="PNG file for the picture.",
)
@click.option("--weights", default="default", help="Which weights of a backbone (its first).")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@json_option
@click.pass_context
def explain(
    ctx: click.Context,
    model: str,
    photos: tuple[Path, ...],
    at: str | None,
    method: str,
    output: str | None,
    out: Path,
    weights: str,
    device: str,
    as_json: bool,
) -> None:
    """Show what in an image speaks for the answer of a run or of a pretrained backbone.

    The picture has each image as the network sees it, and a heat map over it. Each map is checked:
    where it is right, deleting its hottest places takes the answer away sooner than deleting places
    by chance.

    \b
    zoo explain runs/resnet50-head-only-1 photo.jpg
    zoo explain efficientnet_lite0 *.jpg --method layer-cam --at blocks5 -o maps.png
    """
    if out.suffix.lower() != ".png":
        raise UsageError(
            f"the picture is a PNG file, and '{printable(str(out))}' does not end in .png. Give another --out."
        )
    check_new_file(out, "--out")
    catalog = catalog_of(ctx)
    announce("loading the model")
    from zoo_core.explaining.explain import explain as explain_images
    from zoo_core.explaining.picture import MOST, draw_explanations

    with progress_of("explaining") as watch:
        found = explain_images(
            model,
            photos,
            catalog,
            at=at,
            method=method,
            output=output,
            weights=weights,
            device=device,
            watch=watch,
        )
    draw_explanations(out, found)
    if as_json:
        rows = [
            {
                "image": one.image,
                "answer": one.name,
                "value": one.value,
                "at": one.at,
                "map": one.cells_HW.tolist(),
                "deletion": {"by_map": one.deletion.by_map, "by_chance": one.deletion.by_chance},
            }
            for one in found
        ]
        print_json({"model": model, "method": method, "picture": str(out), "explanations": rows})
        return
    made = table("image", "answer", "value", "at", "deleted by the map", "by chance", right=("value",))
    for one in found:
        areas = f"{one.deletion.by_map:.2f}", f"{one.deletion.by_chance:.2f}"
        made.add_row(shown(one.image), shown(one.name), f"{one.value:.3g}", one.at, *areas)
    screen = console()
    screen.print(made)
    screen.print(
        "Deleting the hottest places first leaves so much of the answer, on average; the less, the better the map."
    )
    doubtful = sum(not one.deletion.means_something for one in found)
    if doubtful:
        screen.print(f"Of {doubtful} of the {len(found)} maps chance is as good: they say little.")
    screen.print(f"The picture is {shown(out)}" + (f", with the first {MOST}." if len(found) > MOST else "."))
