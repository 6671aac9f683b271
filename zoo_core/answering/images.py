"""The images that a user names: files, folders, patterns in quotes, addresses, and standard
input."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from zoo_core.data.decode import MAX_BYTES, decode, open_image
from zoo_core.data.folders import images_below, largest_kinds
from zoo_core.data.sources import DIGEST_BYTES
from zoo_core.errors import DataError, HubError, UsageError, printable
from zoo_core.paths import user_path

ADDRESS = re.compile(r"https?://[^/]", re.IGNORECASE)
STDIN = "-"


@dataclass(frozen=True)
class NamedImages:
    """A list of images by the names that a user gave, each brought when it is read.

    An http(s) address stands for its content, `-` for the image on standard input.
    """

    names: tuple[str, ...]
    stdin: Callable[[], BinaryIO | None] = field(repr=False)
    """The stream of standard input, which is None where the program has none."""

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        """The image, upright, in mode RGB or L. Raises DataError that names it."""
        name = self.names[index]
        if name != STDIN and not ADDRESS.match(name):
            return open_image(Path(name), at_least=at_least)
        try:
            content = self._from_stdin if name == STDIN else _fetched(name)
            return decode(content, at_least=at_least)
        except HubError as error:  # it names the address
            raise DataError(str(error)) from error
        except DataError as error:
            raise DataError(f"{printable(name)} {error}.") from error

    def name(self, index: int) -> str:
        return self.names[index]

    def digest(self, index: int) -> bytes:
        """Zeros: nothing is stored under it, and nothing is read twice for it."""
        return bytes(DIGEST_BYTES)

    @cached_property
    def _from_stdin(self) -> bytes:
        stream = self.stdin()
        content = b"" if stream is None else stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise DataError(f"has more than {MAX_BYTES:,} bytes")
        return content


def named_images(given: Sequence[str], stdin: Callable[[], BinaryIO | None]) -> NamedImages:
    """The images of each given text, in order.

    A folder stands for the images in it and below it, a pattern for the files that it matches (`**`
    for any number of folders). A file that is missing is found out when it is read, and nothing is
    fetched before that.

    Raises UsageError for a pattern that matches nothing and for `-` given twice or from a terminal,
    and DataError for a folder without images.
    """
    if STDIN in given:
        _check_stdin(list(given).count(STDIN), stdin())
    names = tuple(name for text in given for name in _names(text))
    return NamedImages(names, stdin)


def _check_stdin(times: int, stream: BinaryIO | None) -> None:
    if times > 1:
        raise UsageError(f"'{STDIN}' is given more than once, and standard input holds one image.")
    if stream is None or stream.isatty():
        raise UsageError(
            f"'{STDIN}' reads an image from standard input, and there is none. Give one: `... < photo.jpg`."
        )


def _names(text: str) -> Iterator[str]:
    if text == STDIN or ADDRESS.match(text):
        yield text
        return
    path = user_path(text)
    if os.path.isdir(path):  # where nobody may look it is False; pathlib raises
        ignored = Counter[str]()
        images = images_below(path, ignored)
        if not images:
            raise DataError(
                f"{printable(text)} holds no images{largest_kinds(ignored)}. Give a folder that does, or an image."
            )
        yield from map(str, images)
    elif glob.has_magic(text) and not os.path.lexists(path):
        matched = sorted(one for one in glob.glob(str(path), recursive=True) if not os.path.isdir(one))
        if not matched:
            raise UsageError(f"no file matches '{printable(text)}'. Give a pattern in quotes, a folder, or files.")
        yield from matched
    else:
        yield str(path)


def _fetched(address: str) -> bytes:
    from zoo_core.hubclient.download import download

    return download(address, most=MAX_BYTES)
