"""Images that a program hands over: paths, PIL images, arrays and tensors, each read as zoo reads a
file.

Shapes: B batch, C channels (1 greyscale, 3 RGB), H height, W width.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from zoo_core.data.decode import PILLOW_IS_QUIET, check_size, decode, open_image, read_file, upright
from zoo_core.data.sources import DIGEST_BYTES, Images, content_digest
from zoo_core.errors import DataError, UsageError, printable, reason_of

GivenImage = str | Path | Image.Image | npt.NDArray[np.uint8] | Tensor
"""A path, a PIL image, an array (H, W) or (H, W, C) of uint8, or a tensor (H, W) or (C, H, W) of
uint8 or 0..1 floats."""

TAKEN = "a path, a PIL image, an array (H, W, C) of uint8, or a tensor (C, H, W) of uint8 or of floats in 0..1"


@dataclass(frozen=True, eq=False)
class GivenImages:
    """A list of given images, of any mixture."""

    values: tuple[GivenImage, ...]
    _repeated: dict[int, Lock] = field(init=False)
    """A lock for each PIL image that occurs several times: Pillow loads one in one thread at a time."""

    def __post_init__(self) -> None:
        counts = Counter(id(value) for value in self.values if isinstance(value, Image.Image))
        object.__setattr__(self, "_repeated", {key: Lock() for key, count in counts.items() if count > 1})

    def __len__(self) -> int:
        return len(self.values)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        value = self.values[index]
        with self._naming(index), self._repeated.get(id(value), nullcontext()):
            return to_image(value, at_least=at_least)

    def name(self, index: int) -> str:
        value = self.values[index]
        return str(value) if isinstance(value, str | Path) else f"image {index}"

    def digest(self, index: int) -> bytes:
        with self._naming(index):
            return digest_of(self.values[index])

    @contextmanager
    def _naming(self, index: int) -> Iterator[None]:
        """Put the name of an image in memory before an error; a file's error has its path
        already."""
        try:
            yield
        except DataError as error:
            if isinstance(self.values[index], str | Path):
                raise
            raise DataError(f"{self.name(index)} {error}.") from error


@dataclass(frozen=True, eq=False)
class ReadableImages:
    """Images that can all be read: an image of one pixel stands for each that cannot."""

    images: Images
    problems: dict[int, str] = field(default_factory=dict)
    """The reasons, as sentences, of the images that were read so far and cannot be."""

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        try:
            return self.images.read(index, at_least=at_least)
        except DataError as error:
            self.problems[index] = str(error)
            return Image.new("L", (1, 1))

    def name(self, index: int) -> str:
        return self.images.name(index)

    def digest(self, index: int) -> bytes:
        """Zeros: nothing is stored under it, and no file is read twice for it."""
        return bytes(DIGEST_BYTES)


def given_images(images: GivenImage | Iterable[GivenImage]) -> GivenImages:
    """One image, several, or a batch (B, H, W, C) or (B, C, H, W), as a list. One text is one path.

    Raises UsageError for anything else.
    """
    if isinstance(images, np.ndarray | Tensor) and images.ndim == 4:
        values: tuple[GivenImage, ...] = tuple(images)
    elif isinstance(images, str | Path | Image.Image | np.ndarray | Tensor):
        values = (images,)
    elif hasattr(images, "read"):
        raise UsageError("an open file is no image. Give its path, or PIL.Image.open(file).")
    elif isinstance(images, Iterable) and not isinstance(images, bytes):
        values = tuple(images)
    else:
        raise UsageError(f"{type(images).__name__} is no image. Give {TAKEN}; or a list of these.")
    for value in values:
        check_given(value)
    return GivenImages(values)


def check_given(value: object) -> None:
    """Raise UsageError unless a value is one image, by its type and shape."""
    match value:
        case str() | Path() | Image.Image():
            return
        case np.ndarray():
            shape, fits = value.shape, value.ndim == 2 or (value.ndim == 3 and value.shape[2] in (1, 3, 4))
            fits = fits and value.dtype == np.uint8
        case Tensor():
            shape, fits = tuple(value.shape), value.ndim == 2 or (value.ndim == 3 and value.shape[0] in (1, 3))
            fits = fits and (value.dtype == torch.uint8 or value.dtype.is_floating_point)
        case _:
            raise UsageError(f"{type(value).__name__} is no image. Give {TAKEN}.")
    if not fits:
        raise UsageError(f"{type(value).__name__} {shape} of {value.dtype} is no image. Give {TAKEN}.")


def to_image(value: GivenImage, *, at_least: int | None = None) -> Image.Image:
    """The image in mode RGB or L, upright. Floats in 0..1 are rounded to 256 levels.

    A JPEG may be decoded at a smaller size, as `decode.open_image` says. Raises DataError.
    """
    if isinstance(value, str | Path):
        return open_image(file_of(value), at_least=at_least)
    if isinstance(value, Image.Image):
        return from_pillow(value, at_least=at_least)
    if 0 in value.shape:
        raise DataError("has no pixels")
    if isinstance(value, Tensor):
        value = _to_array(value)
    return upright(Image.fromarray(np.ascontiguousarray(value[..., 0] if value.shape[2:] == (1,) else value)))


def from_pillow(image: Image.Image, *, at_least: int | None = None) -> Image.Image:
    """A PIL image by the rules for files; the image itself stays as it is.

    One that was opened from a JPEG file and not loaded yet is decoded by `decode`, so that it gives
    the same pixels as its path does. Raises DataError.
    """
    file = getattr(image, "fp", None)
    try:
        if image.format == "JPEG" and at_least is not None and file is not None:
            place = file.tell()
            file.seek(0)
            content = file.read()
            file.seek(place)
            return decode(content, at_least=at_least)
        with PILLOW_IS_QUIET:
            check_size(image)
            image.load()
            return upright(image)
    except DataError:
        raise
    except Exception as error:  # on damaged files Pillow raises nearly everything there is
        raise DataError(f"is damaged or unreadable: {reason_of(error)}") from error


def file_of(path: str | Path) -> Path:
    """The file of a path, in which `~` is the home folder."""
    return Path(os.path.expanduser(path))


def digest_of(value: GivenImage) -> bytes:
    """The digest of a file's bytes, or of the pixels of an image in memory."""
    if isinstance(value, str | Path):
        try:
            return content_digest(read_file(file_of(value)))
        except DataError as error:
            raise DataError(f"{printable(str(value))} {error}.") from error.__cause__
    return pixel_digest(to_image(value))


def pixel_digest(image: Image.Image) -> bytes:
    """The digest of an image's mode, size and pixels."""
    return content_digest(f"{image.mode} {image.size} ".encode() + image.tobytes())


def _to_array(tensor: Tensor) -> npt.NDArray[Any]:
    """A tensor (H, W) or (C, H, W) as bytes (H, W) or (H, W, C). Raises DataError for floats
    outside 0..1."""
    plain = tensor.detach().cpu()
    if plain.dtype.is_floating_point:
        low, high = plain.float().aminmax()
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise DataError(f"has values from {low:.3g} to {high:.3g}, not in 0..1. Give it before it is normalised")
        plain = (plain.float() * 255).round().to(torch.uint8)
    array: npt.NDArray[Any] = (plain if plain.ndim == 2 else plain.permute(1, 2, 0)).numpy()
    return array
