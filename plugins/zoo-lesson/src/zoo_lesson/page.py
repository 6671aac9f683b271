"""The page of a lesson: one file that asks no network and runs no script."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from zoo_lesson.records import Told


def render(told: Told, folder: Path) -> str:
    """The page of the chapters that were taken. Every name is escaped."""
    environment = Environment(
        loader=PackageLoader("zoo_lesson", "resources"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    chapters = [told.chapters[number] for number in sorted(told.chapters)]
    pictures = {one.number: _data(folder / f"{one.picture}.svg") for one in chapters}
    text: str = environment.get_template("lesson.html.j2").render(told=told, chapters=chapters, pictures=pictures)
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def _data(picture: Path) -> str:
    """A picture as an address that holds it; drawn in the reader's light or dark colours."""
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.read_bytes()).decode()}"
