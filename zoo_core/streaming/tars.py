"""Samples in a tar file as WebDataset writes them: files with the same name up to the first dot.

Nothing is unpacked: a sample is read from its place in the tar file, and no name in it ever becomes a
path. Links, devices and folders are passed over. The memory that a damaged or hostile file may take
is bounded here.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from zoo_core.data.decode import MAX_BYTES
from zoo_core.errors import DataError, printable, reason_of
from zoo_core.streaming.samples import Sample

IMAGE = "image"  # the ending in tar files that zoo writes: an image's bytes decide its format
IMAGE_ENDINGS = {IMAGE, "jpg", "jpeg", "png", "webp"}
TARGET = "cls"
MAX_TARGET = 4096  # bytes of a target
MAX_HEADER = 2**20  # bytes of a member's header; a name on disk has 4096 at most
MAX_MEMBERS = 1_000_000  # of one tar file; their headers take about a gigabyte of memory


class _Headers(io.FileIO):
    """A tar file for `tarfile`, which asks for a whole header at once, however long it claims to be."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def samples_of(file: BinaryIO, title: str) -> Iterator[Sample]:
    """The samples of an open tar file, in its order. Raises DataError that names the fault."""
    for key, members in groupby(_members(file, title), key=lambda member: _split(member.name)[0]):
        by_ending: dict[str, tarfile.TarInfo] = {}
        for member in members:
            ending = _split(member.name)[1]
            kind = IMAGE if ending in IMAGE_ENDINGS else ending
            if kind in (IMAGE, TARGET) and kind in by_ending:
                raise _error(title, f"the sample '{printable(key)}' has two files for its {_WORDS[kind]}")
            by_ending[kind] = member
        if IMAGE not in by_ending:
            continue
        if TARGET not in by_ending:
            raise _error(title, f"the sample '{printable(key)}' has an image and no .{TARGET} that tells its class")
        yield _sample(file, title, key, by_ending[IMAGE], by_ending[TARGET])


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
    """`length` bytes at `offset` of an open file, whatever its position."""
    return os.pread(file.fileno(), length, offset)


def _split(name: str) -> tuple[str, str]:
    """The key and the lower-case ending of a member's name: it is split at its first dot behind the folders."""
    folder, slash, base = name.rpartition("/")
    key, _, ending = base.partition(".")
    return folder + slash + key, ending.lower()


def _members(file: BinaryIO, title: str) -> Iterator[tarfile.TarInfo]:
    """The regular files of a tar file, in order."""
    size = os.fstat(file.fileno()).st_size
    try:
        with _Headers(os.dup(file.fileno())) as raw, tarfile.open(fileobj=raw, mode="r:", encoding="utf-8") as tar:
            for number, member in enumerate(_checked_members(tar, size)):
                if number >= MAX_MEMBERS:
                    raise _error(title, f"it has more than {MAX_MEMBERS:,} members; make smaller shards")
                if member.isreg() and not member.issparse():
                    yield member
    except (tarfile.TarError, RecursionError, ValueError, OSError, OverflowError) as error:
        raise _error(title, f"it is no tar file that can be read ({reason_of(error)})") from error


def _checked_members(tar: tarfile.TarFile, size: int) -> Iterator[tarfile.TarInfo]:
    """The members in order. Raises ReadError unless each lies behind the one before and within the file."""
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
