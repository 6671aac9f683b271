"""Images that a command leaves out: the option for those that cannot be read, and the error at the
end."""

from __future__ import annotations

from collections.abc import Sequence

import click

from zoo_core.errors import DataError

MOST_NAMED = 20
bad_images_option = click.option(
    "--bad-images",
    type=click.Choice(["fail", "skip"]),
    help="Unreadable images: fail names them and stops, skip leaves them out (as the run for its own data, else fail).",
)


def raise_for_images(problems: Sequence[str], images: int, lacking: str) -> None:
    """Raise DataError with the reasons why some of the `images` lack something: an answer, an
    explanation."""
    if not problems:
        return
    if images == 1:
        raise DataError(problems[0])
    rest = [f"... and {len(problems) - MOST_NAMED} more"] if len(problems) > MOST_NAMED else []
    lines = "".join(f"\n  {line}" for line in [*problems[:MOST_NAMED], *rest])
    raise DataError(f"{len(problems)} of {images} images have no {lacking}:{lines}")
