"""The two files of a store: they begin with the same random number, their generation, so that rows
and index of different stores are never taken for a pair."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from pathlib import Path

import numpy as np

ENTRY = np.dtype([("key", "<u8", (2,)), ("shape", "<u4", (3,)), ("checksum", "<u4"), ("offset", "<u8")])
MAGIC = b"zoo store 2\0\0\0\0\0"
HEADER_BYTES = len(MAGIC) + 16  # the generation follows


def read_generation(folder: Path, item_bytes: int) -> bytes | None:
    """The generation that both files of a store begin with; None when they are no pair."""
    heads, sizes = [], []
    for name in ("rows", "index"):
        try:
            if not stat.S_ISREG(os.lstat(folder / name).st_mode):  # a pipe would be waited for
                return None
            with (folder / name).open("rb") as file:
                heads.append(file.read(HEADER_BYTES))
                sizes.append(os.fstat(file.fileno()).st_size)
        except OSError:
            return None
    # An array has at least one number. `refresh` reads no entries beyond that either.
    fitting = sizes[1] <= HEADER_BYTES + sizes[0] // item_bytes * ENTRY.itemsize
    whole = len(heads[0]) == HEADER_BYTES and heads[0].startswith(MAGIC)
    return heads[0][len(MAGIC) :] if heads[0] == heads[1] and whole and fitting else None


def begin_generation(folder: Path) -> bytes:
    """Put two empty files of a new generation in place. Whoever holds the old ones goes on with
    those."""
    generation = uuid.uuid4().bytes
    for name in ("rows", "index"):
        if (folder / name).is_dir() and not (folder / name).is_symlink():
            shutil.rmtree(folder / name)
        temporary = folder / f".{name}.{generation.hex()}"
        temporary.write_bytes(MAGIC + generation)
        temporary.replace(folder / name)
    return generation
