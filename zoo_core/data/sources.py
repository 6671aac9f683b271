"""Data sets, wherever they come from: parts (train, val, test) of images with targets.

Shapes: N images, K labels or numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo_core.data.decode import decode, read_file
from zoo_core.data.groups import beside_copies, held_out_of
from zoo_core.data.windows import Windows
from zoo_core.errors import DataError, printable
from zoo_core.specs import TaskName
from zoo_core.tasks import task_named
from zoo_core.tasks.targets import PartName as PartName
from zoo_core.tasks.targets import Targets as Targets

DIGEST_BYTES = 16
STRATIFIED, RANDOM, COVERING, GROUPED = "stratified", "random", "random, every label trained", "grouped"
COPIES = ", copies together"
"""The end of the kind of a split in which copies of an image were moved to one part."""
ALL_TRAINED = "all trained"
"""The kinds of splits. All runs before the third kind was made have one of the first two."""


class Images(Protocol):
    """A list of images that are read on demand."""

    def __len__(self) -> int: ...

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        """The image, upright, in mode RGB or L; if reduced, both sides keep `at_least` pixels.

        Raises DataError naming an image that cannot be read.
        """

    def digest(self, index: int) -> bytes:
        """16 bytes that stand for the image's content."""

    def name(self, index: int) -> str:
        """The image's name, for people and for the digest of a part."""


def content_digest(content: bytes) -> bytes:
    """The digest of an image's bytes."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


@dataclass(frozen=True)
class FolderImages:
    """Images in files below a folder."""

    root: Path
    files: tuple[str, ...]
    digests: tuple[bytes, ...] | None = None
    """The digests of the files' bytes, from a scan; None: a file is read to compute its digest."""

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        with self._naming(index):
            return decode(self._content(index), at_least=at_least)

    def content(self, index: int) -> bytes:
        with self._naming(index):
            return self._content(index)

    def _content(self, index: int) -> bytes:
        content = read_file(self.root / self.files[index])
        # Features are stored under an image's digest: it must be that of these bytes.
        if self.digests is not None and content_digest(content) != self.digests[index]:
            raise DataError("has changed since the images were scanned. Put it back as it was, or begin again")
        return content

    @contextmanager
    def _naming(self, index: int) -> Iterator[None]:
        """Give an error the name of the file."""
        try:
            yield
        except DataError as error:
            raise DataError(f"{printable(str(self.root / self.files[index]))} {error}.") from error.__cause__

    def name(self, index: int) -> str:
        return self.files[index]

    def digest(self, index: int) -> bytes:
        if self.digests is not None:
            return self.digests[index]
        return content_digest(read_file(self.root / self.files[index]))

    def take(self, chosen: Sequence[int]) -> FolderImages:
        """These images alone."""
        digests = self.digests and tuple(self.digests[index] for index in chosen)
        return replace(self, files=tuple(self.files[index] for index in chosen), digests=digests)


@dataclass(frozen=True)
class ArrayImages:
    """Images in an array (N, H, W) or (N, H, W, 3) of bytes."""

    title: str
    pixels: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        return Image.fromarray(self.pixels[index])

    def name(self, index: int) -> str:
        return f"{self.title}/{index}"

    def digest(self, index: int) -> bytes:
        return content_digest(self.pixels[index].tobytes())


@dataclass(frozen=True)
class Subset:
    """The chosen images of a list."""

    images: Images
    chosen: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.chosen)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        return self.images.read(self.chosen[index], at_least=at_least)

    def name(self, index: int) -> str:
        return self.images.name(self.chosen[index])

    def digest(self, index: int) -> bytes:
        return self.images.digest(self.chosen[index])

    def content(self, index: int) -> bytes | None:
        return content_of(self.images, self.chosen[index])

    @property
    def windows(self) -> Windows | None:
        windows = windows_of(self.images)
        return windows and windows.take(self.chosen)


def content_of(images: Images, index: int) -> bytes | None:
    """The bytes of an image's file, proven to be those of its digest; None of images without files.
    Raises DataError as `read` does."""
    find: Callable[[int], bytes | None] | None = getattr(images, "content", None)
    return None if find is None else find(index)


def windows_of(images: Images) -> Windows | None:
    """The windows of images in shards that do not all fit on the disk; None for any other
    images."""
    windows: Windows | None = getattr(images, "windows", None)
    return windows


@dataclass(frozen=True, eq=False)
class Part:
    """Images with their targets."""

    images: Images
    targets: Targets
    """(N,) int64 positions of classes, or (N, K) float32: 0 or 1 for each label, or numbers."""
    groups: tuple[str, ...] | None = None
    """The name (N) of each image's group, which is in no other part; None without groups."""

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, chosen: Sequence[int]) -> Part:
        """The part of these images alone."""
        return self.chosen(Subset(self.images, tuple(chosen)), chosen)

    def chosen(self, images: Images, chosen: Sequence[int]) -> Part:
        """The part of `images`, which are the chosen ones of these."""
        groups = self.groups and tuple(self.groups[index] for index in chosen)
        return Part(images, self.targets[np.asarray(chosen, dtype=np.int64)], groups)

    def digest(self) -> str:
        """A sha256 over names, targets and contents, the same for the same split of the same
        images."""
        lines = sorted(
            f"{self.images.name(index)}\0{_target_text(target)}\0{self.images.digest(index).hex()}"
            for index, target in enumerate(self.targets)
        )
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _target_text(target: Any) -> str:
    return " ".join(map(repr, target.tolist())) if target.ndim else str(int(target))


@dataclass(frozen=True)
class Source:
    """A data set: its parts, and the names of the outputs that a model of it has."""

    title: str
    classes: tuple[str, ...]
    """The names of the classes, labels or numbers, in the order of a model's outputs."""
    parts: dict[PartName, Part]
    ignored: dict[str, int] = field(default_factory=dict)
    """The number of things beside the images, by kind."""
    skipped: int = 0
    """The number of images that were left out because they cannot be read."""
    unreadable: tuple[str, ...] = ()
    """Sentences, without the point, on images that the parts lack because they cannot be read."""
    notes: tuple[str, ...] = ()
    """Sentences of the reader about a layout that may be meant otherwise."""
    split: dict[str, str | int | float] = field(default_factory=lambda: {"kind": "given"})
    task: TaskName = "classification"

    def with_validation(self, *, share: float, seed: int, kind: str | None = None) -> Source:
        """The source with a validation part: its own, or else a held-out share, decided by the
        seed.

        For classification a share of each class is held out, otherwise a share of all images, of
        which no image is the last with one of its labels; of images in groups whole groups. Copies
        of an image are on one side. A share of 0 holds none out, and there is no validation part.
        `kind` is that of an earlier split to repeat: a split of the kind "random" may hold out all
        images of a label, and only one that says so kept copies together. Raises DataError when
        there are too few.
        """
        if "train" not in self.parts:
            others = " and ".join(name for name in ("val", "test") if name in self.parts)
            raise DataError(f"{printable(self.title)} has no training images, only {others}.")
        task_named(self.task).check_outputs(printable(self.title), self.classes)
        if "val" in self.parts:
            return self
        train = self.parts["train"]
        if train.groups is not None or not share:
            self._check_trained()
        if not share:
            return replace(self, split={"kind": ALL_TRAINED})
        if train.groups is not None:
            made, held_out = GROUPED, held_out_of(train, self.task, share, seed)
        elif task_named(self.task).single_label:
            made, held_out = STRATIFIED, self._of_each_class(share, seed)
        else:
            made, held_out = self._of_all(share, seed, plain=kind in (RANDOM, RANDOM + COPIES))
        if train.groups is None and windows_of(train.images) is None and (kind is None or kind.endswith(COPIES)):
            drawn, held_out = held_out, beside_copies(train, self.task, held_out)
            made += COPIES if held_out != drawn else ""
        trained = [index for index in range(len(train)) if index not in held_out]
        parts: dict[PartName, Part] = {**self.parts, "train": train.take(trained), "val": train.take(sorted(held_out))}
        return replace(self, parts=parts, split={"kind": made, "seed": seed, "val_share": share})

    def _check_trained(self) -> None:
        """Raise DataError where a class has no training image, because its groups are held out."""
        if not task_named(self.task).single_label:
            return
        for label in sorted(set(range(len(self.classes))) - set(self.parts["train"].targets.tolist())):
            finer = "" if self.parts["train"].groups is None else ", or finer groups with --group-by"
            raise DataError(
                f"the class '{printable(self.classes[label])}' has no image to train on: all of them are held out. Add "
                f"images, or take fewer folds{finer}."
            )

    def _of_each_class(self, share: float, seed: int) -> set[int]:
        generator = np.random.default_rng(seed)
        held_out: set[int] = set()
        for label, name in enumerate(self.classes):
            members = np.flatnonzero(self.parts["train"].targets == label)
            if len(members) < 2:
                raise DataError(
                    f"the class '{printable(name)}' has {len(members)} image; it needs one to train and one to "
                    "validate. Add images, or give train/ and val/ folders, or a column 'part' in a CSV file."
                )
            held_out.update(int(index) for index in generator.permutation(members)[: _count(share, len(members))])
        return held_out

    def _of_all(self, share: float, seed: int, *, plain: bool) -> tuple[str, set[int]]:
        images = len(self.parts["train"])
        if images < 2:
            raise DataError(f"{self.title} has {images} image; it needs one to train and one to validate.")
        order = np.random.default_rng(seed).permutation(images).tolist()
        count = _count(share, images)
        first = set(order[:count])
        chosen = first if plain else set(task_named(self.task).held_out(self.parts["train"].targets, order, count))
        return (RANDOM if chosen == first else COVERING), chosen


def _count(share: float, images: int) -> int:
    """The number of images to hold out: at least one, and never all."""
    return min(max(1, round(share * images)), images - 1)
