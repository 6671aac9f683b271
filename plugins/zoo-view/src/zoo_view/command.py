"""The command `zoo view BACKBONE|RUN`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from zoo_core import UsageError, open_catalog

ENDINGS = (".html", ".htm")


@click.command()
@click.argument("model", metavar="BACKBONE|RUN")
@click.option("--image", type=click.Path(dir_okay=False), help="Image whose feature maps are shown on the stages.")
@click.option("--strategy", help="Freeze strategy to show (the run's own; of a backbone the default for few images).")
@click.option("--weights", default="default", help="Weights of a backbone for the feature maps (its first).")
@click.option("--time", "timed", is_flag=True, help="Time each stage on this machine, for the seconds of an epoch.")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="HTML file to write (view-NAME.html; none that exists is replaced).",
)
@click.pass_context
def view(
    ctx: click.Context,
    model: str,
    image: str | None,
    strategy: str | None,
    weights: str,
    timed: bool,
    out: Path | None,
) -> None:
    """Show a backbone or a run in 3D, as one page that asks no network.

    Its stages stand in a row, to scale; a slider goes through the phases of the freeze plan, another
    one moves the cut between frozen and trained stages and shows the parameters, the size of the
    cache and the time that follow. With --image the page has the feature maps of that image, and the
    part of it that a cell of each stage sees.

    \b
    zoo view resnet18 --image photo.jpg
    zoo view vgg16 --strategy gradual:every=2 -o vgg.html
    zoo view runs/resnet18-head-only-photos-1 --image photo.jpg --time
    """
    target = out or Path(f"view-{_plain(model)}.html")
    if target.suffix.lower() not in ENDINGS:
        raise UsageError(f"the page is an HTML file, and {target.name!r} does not end in .html.")
    if target.exists():
        raise UsageError(f"{str(target)!r} exists already. Give another --out, or remove it.")
    above = next(one for one in target.absolute().parents if one.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise UsageError(f"nothing can be written to {str(above)!r}. Give another --out.")
    from zoo_core import profile

    catalog = open_catalog(with_plugins=(ctx.obj or {}).get("with_plugins", True))
    made = profile(model, image=image, strategy=strategy, weights=weights, timed=timed, catalog=catalog)
    from zoo_view.page import render

    text = render(made)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, target)  # whole, or not at all
    click.echo(f"{str(target)!r}: {len(made.stages)} stages, {len(text.encode()) / 1e6:.1f} MB. Open it in a browser.")


def _plain(model: str) -> str:
    """The last part of a name, with nothing that a file's name could not have."""
    last = model.replace("\\", "/").rstrip("/").rpartition("/")[2]
    last = Path(model).resolve().name if last in ("", ".", "..") else last
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in last)[:80] or "model"
