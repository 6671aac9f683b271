"""Samples in a tar file as WebDataset writes them: an image and its target under one name.

Nothing is unpacked: a sample is read from its place in the tar file, and no name in it ever becomes
a path. Links and devices are ignored, like other files, and counted by kind. The memory that a
damaged or hostile file may take is bounded here.
"""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from zoo_core.data.decode import IMAGE_ENDINGS, MAX_BYTES, unread_kind
from zoo_core.errors import DataError, printable, reason_of
from zoo_core.streaming.samples import Sample

PREAD = getattr(os, "pread", None)  # Windows has none
_POSITION = threading.Lock()  # without pread, threads share the position of a file
IMAGE = "image"  # the ending in tar files that zoo writes: an image's bytes decide its format
PHOTOS = (IMAGE, "jpg", "jpeg", "png", "webp")
TARGET = "cls"
MAX_TARGET = 4096  # bytes of a target
MAX_HEADER = 2**20  # bytes of a member's header; a name on disk has 4096 at most
MAX_MEMBERS = 1_000_000  # of one tar file; their headers take about a gigabyte of memory
MAX_ENDING = 20  # characters; a longer ending is counted as none


class _Headers(io.FileIO):
    """A tar file for `tarfile`, which asks for a whole header at once, however long it claims to
    be."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def samples_of(file: BinaryIO, title: str, ignored: Counter[str]) -> Iterator[Sample]:
    """The samples of an open tar file, in its order; members of no sample are counted in `ignored`.

    The files of a sample share a name up to its first dot. In a name with more dots, such as
    img_1.v2.jpg, everything before the ending is the name.

    Raises DataError that names the fault of the file.
    """
    for key, members in groupby(_members(file, title, ignored), key=lambda member: _split(member.name)[0]):
        by_stem: dict[str, dict[str, tarfile.TarInfo]] = {}
        for member in members:
            stem, kind = _stem_and_kind(member.name)
            files = by_stem.setdefault(stem, {})
            if kind not in (IMAGE, TARGET):
                ignored[_ending_in_words(member.name)] += 1
            elif kind not in files:
                files[kind] = member
            else:
                files[kind] = _preferred(title, stem, kind, files[kind], member, ignored)
        for stem, files in by_stem.items():
            if len(files) == 2:
                yield _sample(file, title, stem, files[IMAGE], files[TARGET])
            elif IMAGE in files and stem == key:
                raise _error(title, f"the sample '{printable(key)}' has an image and no .{TARGET} that tells its class")
            elif files:
                ending = _ending_in_words(next(iter(files.values())).name)
                ignored[f"{ending} without {f'a .{TARGET}' if IMAGE in files else 'an image'}"] += 1


def _preferred(
    title: str, stem: str, kind: str, first: tarfile.TarInfo, second: tarfile.TarInfo, ignored: Counter[str]
) -> tarfile.TarInfo:
    """Of two images the one with an ending of PHOTOS, such as a photo beside its depth in a TIFF
    file."""
    photos = [member for member in (first, second) if _split(member.name)[1] in PHOTOS]
    if kind != IMAGE or len(photos) != 1:
        raise _error(title, f"the sample '{printable(stem)}' has two files for its {_WORDS[kind]}")
    ignored[_ending_in_words((second if photos[0] is first else first).name)] += 1
    return photos[0]


_WORDS = {IMAGE: "image", TARGET: "class"}


def _sample(file: BinaryIO, title: str, key: str, image: tarfile.TarInfo, target: tarfile.TarInfo) -> Sample:
    if target.size > MAX_TARGET:
        raise _error(title, f"the .{TARGET} of the sample '{printable(key)}' has {target.size:,} bytes")
    text = content_at(file, target.offset_data, target.size).decode("utf-8", "replace").strip()
    name = f"{title}/{key}"
    if image.size > MAX_BYTES:
        problem = f"has {image.size:,} bytes, more than {MAX_BYTES:,}. Make it smaller"
        return Sample(name, text, image.offset_data, 0, problem=problem)
    content = content_at(file, image.offset_data, image.size)
    return Sample(name, text, image.offset_data, image.size, content)


def content_at(file: BinaryIO, offset: int, length: int) -> bytes:
    """`length` bytes at `offset` of an open file, or those that it has there, whatever its
    position."""
    length = max(0, min(length, os.fstat(file.fileno()).st_size - offset))  # memory is taken for all of them
    if PREAD is not None:
        content: bytes = PREAD(file.fileno(), length, offset)
        return content
    with _POSITION:
        os.lseek(file.fileno(), offset, os.SEEK_SET)
        pieces = []
        while length > 0 and (piece := os.read(file.fileno(), length)):
            pieces.append(piece)
            length -= len(piece)
    return b"".join(pieces)


def _split(name: str) -> tuple[str, str]:
    """The key and the ending of a member's name, which is split at its first dot behind the
    folders."""
    folder, slash, base = name.rpartition("/")
    key, _, ending = base.partition(".")
    return folder + slash + key, ending.lower()


def _stem_and_kind(name: str) -> tuple[str, str]:
    """The name of a member without its ending, and its kind: IMAGE, TARGET or the ending itself."""
    key, ending = _split(name)
    rest, dot, last = ending.rpartition(".")
    stem = name[: len(key) + 1 + len(rest)] if dot else key
    return stem, IMAGE if last == IMAGE or f".{last}" in IMAGE_ENDINGS else last


def _ending_in_words(name: str) -> str:
    ending = _split(name)[1]
    return unread_kind(printable(f".{ending}")) if 0 < len(ending) <= MAX_ENDING else "without an ending"


def _members(file: BinaryIO, title: str, ignored: Counter[str]) -> Iterator[tarfile.TarInfo]:
    """The regular files of a tar file, in order; links, devices and the like are counted."""
    size = os.fstat(file.fileno()).st_size
    try:
        with _Headers(os.dup(file.fileno())) as raw, tarfile.open(fileobj=raw, mode="r:", encoding="utf-8") as tar:
            for number, member in enumerate(_checked_members(tar, size)):
                if number >= MAX_MEMBERS:
                    raise _error(title, f"it has more than {MAX_MEMBERS:,} members; make smaller shards")
                if member.isreg() and not member.issparse():
                    yield member
                elif not member.isdir():
                    ignored["link or special file"] += 1
    except (tarfile.TarError, RecursionError, ValueError, OSError, OverflowError) as error:
        raise _error(title, f"it is no tar file that can be read ({reason_of(error)})") from error


def _checked_members(tar: tarfile.TarFile, size: int) -> Iterator[tarfile.TarInfo]:
    """The members in order. Raises ReadError unless each lies behind the one before and within the
    file."""
    least = 0
    while (member := tar.next()) is not None:
        if member.size < 0 or member.offset_data <= least or member.offset_data + member.size > size:
            raise tarfile.ReadError("a member that is not all there")
        least = member.offset_data
        yield member


def _error(title: str, problem: str) -> DataError:
    return DataError(f"the shard {printable(title)} cannot be used: {problem}.")


def write_tar(path: Path, samples: Iterator[tuple[str, bytes]]) -> None:
    """Write pairs of target and image to a tar file that `samples_of` reads; the keys are numbers."""
    with tarfile.open(path, "w:", format=tarfile.USTAR_FORMAT) as tar:
        for number, (text, content) in enumerate(samples):
            for ending, data in ((IMAGE, content), (TARGET, text.encode())):
                member = tarfile.TarInfo(f"{number:09d}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
