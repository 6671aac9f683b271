"""The place where a command may draw its picture, and the words where it could not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.core import ParameterSource

from zoo_core.cli.common import warn
from zoo_core.errors import UsageError, printable
from zoo_core.paths import check_writable


def check_picture_target(ctx: click.Context, out: Path, read: Iterable[Path]) -> None:
    """Raise ZooError unless a picture can be written to `--out` without harm to a file.

    The default file is replaced where it is the picture of an earlier call; it never lies in a
    folder of images that are `read`.
    """
    is_default = ctx.get_parameter_source("out") is ParameterSource.DEFAULT
    if out.suffix.lower() != ".png":
        raise UsageError(
            f"the picture is a PNG file, and '{printable(str(out))}' does not end in .png. Give another --out."
        )
    place = out.resolve()
    inputs = [path.resolve() for path in read]
    for path in inputs:
        if is_default and path.is_dir() and place.is_relative_to(path):
            raise UsageError(
                f"here {printable(str(out))} would be one of the images of {printable(str(path))}. Give --out a place "
                "outside of that folder."
            )
    if out.exists() and (not is_default or place in inputs or not _is_drawn(out)):
        raise UsageError(f"{printable(str(out))} exists already. Give another --out, or remove it.")
    check_writable(out, "--out")


def _is_drawn(path: Path) -> bool:
    """Whether a file is a picture of zoo's: matplotlib signs those that it draws."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return str(image.info.get("Software", "")).startswith("Matplotlib")
    except (OSError, Image.DecompressionBombError):
        return False


def draw_if_possible(picture: Path, draw: Callable[[Path], None]) -> bool:
    """Draw the picture of the answers; where that fails a warning says why, and the value is false."""
    from zoo_core.runs.pictures import optional_picture

    drawn = False
    with optional_picture(picture, lambda text: warn([text])):
        draw(picture)
        drawn = True
    return drawn
