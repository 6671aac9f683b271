"""The picture of `zoo similar`: a photo beside its neighbours, with the similarity as a bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo_core.data.decode import open_image
from zoo_core.drawing import DPI, Figure, Rectangle, picture_text, save_figure
from zoo_core.embedding.similar import SHOWN, Similar
from zoo_core.errors import printable

TILE, GAP, MARGIN = 1.9, 0.25, 0.3  # inches: five tiles and the photo fit on a screen
HEADING, CAPTION = 0.35, 0.66  # above the tiles, and below each
PHOTO = 2.7  # the side of the photo where several rows of neighbours stand beside it
IN_A_ROW = 5
MOST = 50  # neighbours in ten rows: a picture of 2,900 pixels, some screens high
LETTERS, SMALL_LETTERS = 22, 28  # that fit below a tile, at 10 and at 8 points
BAR, EDGE = 0.06, 0.02
INK, PALE, GROUND, TRACK, ACCENT = "#222222", "#777777", "#f3f3f3", "#dddddd", "#2f6fb0"


def draw_similar(target: Path, found: Similar, title: str) -> None:
    """Draw a photo and its neighbours, the nearest first and at most 50, to a PNG file; `title` is the model."""
    count = min(MOST, len(found.neighbours))
    columns, rows = min(IN_A_ROW, count), -(-count // IN_A_ROW)
    photo = TILE if rows == 1 else PHOTO
    first = MARGIN + photo + 2 * GAP
    across = max(2, columns)  # the heading takes the room of two
    width = first + across * TILE + (across - 1) * GAP + MARGIN
    canvas = _Canvas(width, 2 * MARGIN + HEADING + rows * (TILE + CAPTION))
    top = MARGIN + HEADING
    canvas.text(MARGIN, MARGIN, "Photo", size=11, weight="bold")
    images = sum(len(part) for part in found.source.parts.values())
    heading = f"Most similar of {images:,} images"
    canvas.text(first, MARGIN, heading, size=11, weight="bold")
    if columns > 2:  # there is room for more
        canvas.text(width - MARGIN, MARGIN + 0.02, _cut(title, SMALL_LETTERS), size=9, color=PALE, ha="right")
    canvas.tile(open_image(found.photo, at_least=SHOWN), MARGIN, top, photo, frame=ACCENT)
    canvas.text(MARGIN, top + photo + 0.16, _cut(found.photo.name, LETTERS), weight="bold")
    if found.copies:
        canvas.text(MARGIN, top + photo + 0.4, "is among these images", size=8, color=PALE)
    for number, neighbour in enumerate(found.neighbours[:count]):
        row, column = divmod(number, IN_A_ROW)
        left, above = first + column * (TILE + GAP), top + row * (TILE + CAPTION)
        canvas.tile(found.image(neighbour), left, above, TILE)
        canvas.bar(left, above + TILE + 0.03, TILE, neighbour.similarity)
        room = LETTERS if not neighbour.answer else LETTERS - 6
        canvas.text(left, above + TILE + 0.16, _cut(neighbour.answer, room), weight="bold")
        canvas.text(left + TILE, above + TILE + 0.16, f"{neighbour.similarity:.3f}", color=ACCENT, ha="right")
        canvas.text(left, above + TILE + 0.4, _end(neighbour.image, SMALL_LETTERS), size=8, color=PALE)
    save_figure(canvas.figure, target)


class _Canvas:
    """A figure on which places are inches from the upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height))

    def text(self, left: float, top: float, text: str, **look: Any) -> None:
        place = left / self.width, 1 - top / self.height
        self.figure.text(*place, text, **{"size": 10, "color": INK, "va": "top", **look})

    def tile(self, image: Image.Image, left: float, top: float, side: float, frame: str = GROUND) -> None:
        """An image in the middle of a square, as large as fits, pixel for pixel."""
        self.box(left - EDGE, top - EDGE, side + 2 * EDGE, side + 2 * EDGE, GROUND, edge=frame)
        longer = round(side * DPI)
        width, height = (max(1, round(longer * length / max(image.size))) for length in image.size)
        pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))
        right, down = round(left * DPI) + (longer - width) // 2, round(top * DPI) + (longer - height) // 2
        self.figure.figimage(pixels, right, round(self.height * DPI) - down - height, origin="upper")

    def bar(self, left: float, top: float, width: float, share: float) -> None:
        """A line that is coloured up to a share of it."""
        self.box(left, top, width, BAR, TRACK)
        self.box(left, top, width * min(1.0, max(0.0, share)), BAR, ACCENT)

    def box(self, left: float, top: float, width: float, height: float, colour: str, edge: str = "none") -> None:
        place = left / self.width, 1 - (top + height) / self.height
        size = width / self.width, height / self.height
        look: dict[str, Any] = {"facecolor": colour, "edgecolor": edge, "linewidth": 3, "zorder": -1}
        self.figure.add_artist(Rectangle(place, *size, transform=self.figure.transFigure, **look))


def _cut(text: str, most: int) -> str:
    """The beginning of a text, printable; a dollar sign would start a formula."""
    text = printable(text)
    return picture_text(text if len(text) <= most else f"{text[: most - 1]}…")


def _end(text: str, most: int) -> str:
    """The end of a path, which tells more than its beginning."""
    text = printable(text)
    return picture_text(text if len(text) <= most else f"…{text[1 - most :]}")
