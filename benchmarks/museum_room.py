"""The room that the exhibits of the failure museum share: figures, a folder to work in, and the bundled images as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from zoo_core.cli.main import zoo
from zoo_core.data.bundled import fashion_small
from zoo_core.tasks.metrics import wilson

SIDE = 64  # pixels of a written image, and of what the network sees
OPTIONS = ["--backbone", "efficientnet_lite0", "--image-size", str(SIDE), "--strategy", "head-only", "--device", "cpu"]


@dataclass(frozen=True)
class Share:
    """A share of images, and the words for it."""

    words: str
    hits: int
    total: int

    @property
    def share(self) -> float:
        return self.hits / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson."""
        return wilson(self.hits, self.total)

    @property
    def text(self) -> str:
        low, high = (f"{100 * end:.1f} %" for end in self.interval)
        return f"{100 * self.share:.1f} % ({self.hits} of {self.total}; 95 % interval {low} to {high})"


@dataclass(frozen=True)
class Exhibit:
    """One mistake, with the figure that it shows and the one that it hides."""

    wrong: Share
    right: Share
    commands: tuple[str, ...]
    """Those that prevent the mistake or name it."""
    said: tuple[str, ...]
    """Lines that they printed."""
    more: str
    """One more sentence with a measured figure."""
    tiles: tuple[tuple[Image.Image, str], ...]
    """Images with captions, for the picture."""


@dataclass(frozen=True)
class Room:
    """A folder for one exhibit, and how many images of each class it may take."""

    folder: Path
    train: int = 100
    val: int = 50

    def zoo(self, *arguments: str, may_fail: bool = False) -> tuple[str, str]:
        """The answer and the messages of a command. Raises SystemExit with both where it fails."""
        result = CliRunner().invoke(zoo, arguments, env={"COLUMNS": "500"})
        if result.exit_code and not may_fail:
            raise SystemExit(f"zoo {' '.join(arguments)}: {result.output}{result.exception or ''}")
        return result.stdout, result.stderr

    def finetune(self, data: Path, run: str, *options: str) -> str:
        return self.zoo("finetune", *OPTIONS, "--data", str(data), "--out", str(self.folder / run), *options)[1]

    def accuracy(self, words: str, run: str, data: Path | None = None) -> Share:
        """The images that a run answers rightly: those that it held out, or those of a folder."""
        where = [] if data is None else ["--data", str(data)]
        told, _ = self.zoo("evaluate", str(self.folder / run), *where, "--device", "cpu", "--json")
        found = json.loads(told)
        return Share(words, found["correct"], found["images"])


def images_of(part: str, name: str, count: int) -> list[Image.Image]:
    """The first so many bundled images of a class, enlarged to 64 pixels."""
    source = fashion_small()
    images, label = source.parts[part], source.classes.index(name)  # type: ignore[index]
    chosen = np.flatnonzero(images.targets == label)[:count].tolist()
    return [images.images.read(index).convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC) for index in chosen]


def write(folder: Path, name: str, images: list[Image.Image], prefix: str = "") -> None:
    target = folder / name.replace("/", "-")
    target.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        image.save(target / f"{prefix}{number:03}.png")


def bundled(room: Room, names: tuple[str, ...], change: Callable[[Image.Image], Image.Image] = lambda one: one) -> Path:
    """Folders train/ and val/ of the bundled images of some classes, changed."""
    for part, count in (("train", room.train), ("val", room.val)):
        for name in names:
            write(room.folder / "photos" / part, name, [change(one) for one in images_of(part, name, count)])
    return room.folder / "photos"


def line_with(told: str, *words: str) -> str:
    """The first printed line that has all words."""
    for line in told.splitlines():
        if all(word in line for word in words):
            return " ".join(line.split())
    raise SystemExit(f"zoo printed no line with {words}:\n{told}")
