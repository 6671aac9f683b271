"""The images that a user names: files, folders, patterns in quotes, addresses, and standard input.

Images that come from elsewhere become files in a folder, so that all are read in one way.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from zoo_core.data.decode import MAX_BYTES
from zoo_core.data.folders import images_below, largest_kinds
from zoo_core.errors import DataError, HubError, UsageError, printable
from zoo_core.paths import user_path

ADDRESS = re.compile(r"https?://[^/]")
STDIN = "-"


@dataclass(frozen=True)
class NamedImage:
    """An image that a user named."""

    name: str
    path: Path
    problem: str | None = None
    """The reason, as a sentence, why it did not arrive."""


def named_images(
    given: Sequence[str], folder: Path, stdin: BinaryIO, watch: Callable[[int, int], None]
) -> list[NamedImage]:
    """The images of each given text, in order.

    A folder stands for the images in it and below it, a pattern for the files that it matches (`**`
    for any number of folders), an http(s) address for its content, `-` for an image on standard
    input. What is not a file is written to `folder`, which is new and empty. `watch` is told
    (addresses done, of how many). A file that is missing is found out when it is read.

    Raises UsageError for a pattern that matches nothing, `-` given twice or from a terminal, and
    DataError for a folder without images.
    """
    if list(given).count(STDIN) > 1:
        raise UsageError(f"'{STDIN}' is given more than once, and standard input holds one image.")
    addresses = [text for text in given if ADDRESS.match(text)]
    found: list[NamedImage] = []
    done = 0
    for place, text in enumerate(given):
        if text == STDIN:
            found.append(_from_stdin(stdin, folder / str(place)))
        elif ADDRESS.match(text):
            found.append(_from_address(text, folder / str(place)))
            done += 1
            watch(done, len(addresses))
        else:
            found += [NamedImage(str(path), path) for path in _files(text)]
    return found


def _files(text: str) -> Iterator[Path]:
    path = user_path(text)
    if path.is_dir():
        ignored = Counter[str]()
        images = images_below(path, ignored)
        if not images:
            raise DataError(
                f"{printable(text)} holds no images{largest_kinds(ignored)}. Give a folder that does, or an image."
            )
        yield from images
    elif glob.has_magic(text) and not os.path.lexists(path):
        matched = sorted(one for one in glob.glob(str(path), recursive=True) if not os.path.isdir(one))
        if not matched:
            raise UsageError(f"no file matches '{printable(text)}'. Give a pattern in quotes, a folder, or files.")
        yield from map(Path, matched)
    else:
        yield path


def _from_stdin(stdin: BinaryIO, path: Path) -> NamedImage:
    if stdin.isatty():
        raise UsageError(f"'{STDIN}' reads an image from standard input, which is a terminal: `... < photo.jpg`.")
    content = stdin.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        return NamedImage(STDIN, path, f"standard input has more than {MAX_BYTES:,} bytes.")
    path.write_bytes(content)
    return NamedImage(STDIN, path)


def _from_address(address: str, path: Path) -> NamedImage:
    from zoo_core.hubclient.download import download

    try:
        path.write_bytes(download(address, most=MAX_BYTES))
    except HubError as error:
        return NamedImage(address, path, str(error))
    return NamedImage(address, path)
