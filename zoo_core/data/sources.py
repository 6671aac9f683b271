"""Labelled images, whatever they come from: parts (train, val, test) over one list of classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo_core.data.decode import open_image
from zoo_core.errors import DataError, printable

PartName = Literal["train", "val", "test"]


class Images(Protocol):
    """A list of images that are read when they are asked for."""

    def __len__(self) -> int: ...

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        """The image, upright, in mode RGB or L, no smaller than `at_least` pixels where it was larger.

        Raises DataError naming what could not be read.
        """

    def digest(self, index: int) -> bytes:
        """16 bytes that stand for the image's content."""

    def name(self, index: int) -> str:
        """What tells a person, and the split, which image it is."""


@dataclass(frozen=True)
class FolderImages:
    """Images in files. Each file's content is hashed once, when it is first asked for."""

    root: Path
    files: tuple[str, ...]
    _digests: npt.NDArray[np.void] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_digests", np.zeros(len(self.files), "V16"))

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        return open_image(self.root / self.files[index], at_least=at_least)

    def digest(self, index: int) -> bytes:
        known: bytes = self._digests[index].tobytes()
        if known.strip(b"\0"):
            return known
        digest = hashlib.blake2b((self.root / self.files[index]).read_bytes(), digest_size=16).digest()
        self._digests[index] = digest
        return digest

    def name(self, index: int) -> str:
        return self.files[index]


@dataclass(frozen=True)
class ArrayImages:
    """Images in an array (N, H, W) or (N, H, W, 3) of bytes."""

    title: str
    pixels: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        return Image.fromarray(self.pixels[index])

    def digest(self, index: int) -> bytes:
        return hashlib.blake2b(self.pixels[index].tobytes(), digest_size=16).digest()

    def name(self, index: int) -> str:
        return f"{self.title}/{index}"


@dataclass(frozen=True)
class Subset:
    """Some images of a list."""

    images: Images
    chosen: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.chosen)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        return self.images.read(self.chosen[index], at_least=at_least)

    def digest(self, index: int) -> bytes:
        return self.images.digest(self.chosen[index])

    def name(self, index: int) -> str:
        return self.images.name(self.chosen[index])


@dataclass(frozen=True)
class Part:
    """Images with one label each, a position in the list of classes."""

    images: Images
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Sequence[int]) -> Part:
        """Only these images."""
        return Part(Subset(self.images, tuple(chosen)), tuple(self.labels[index] for index in chosen))

    def digest(self) -> str:
        """A sha256 over the names and labels: the same split has the same digest."""
        lines = sorted(f"{self.images.name(index)}\0{label}" for index, label in enumerate(self.labels))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Source:
    """A data set: its classes and the parts it brings. One without "val" is split by `with_validation`."""

    title: str
    classes: tuple[str, ...]
    parts: dict[PartName, Part]
    ignored: int = 0
    split: dict[str, str | int | float] = field(default_factory=lambda: {"kind": "given"})

    def with_validation(self, *, share: float, seed: int) -> Source:
        """Hold out a share of each class for validation when the data brings no such part: stratified and seeded.

        Raises DataError when a class has fewer than two images.
        """
        if "val" in self.parts:
            return self
        train = self.parts["train"]
        generator = np.random.default_rng(seed)
        held_out: set[int] = set()
        for label, name in enumerate(self.classes):
            members = [index for index, own in enumerate(train.labels) if own == label]
            if len(members) < 2:
                raise DataError(
                    f"the class '{printable(name)}' has {len(members)} image, and one to train and one to validate are "
                    "needed. Add images, or give train/ and val/ folders."
                )
            count = min(max(1, round(share * len(members))), len(members) - 1)
            held_out.update(int(index) for index in generator.permutation(members)[:count])
        kept = [index for index in range(len(train)) if index not in held_out]
        parts: dict[PartName, Part] = {**self.parts, "train": train.take(kept), "val": train.take(sorted(held_out))}
        split: dict[str, str | int | float] = {"kind": "stratified", "seed": seed, "val_share": share}
        return Source(self.title, self.classes, parts, self.ignored, split)
