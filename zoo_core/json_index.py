"""Indexes in the cache folder: JSON that remembers the result of a slow inspection.

Line 1 of an index holds its key and a checksum of line 2; line 2 holds the entries. An index that is
damaged, or was written under another key, counts as missing: the inspection is made again.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from zlib import crc32

from zoo_core.errors import ZooError
from zoo_core.paths import write_text

T = TypeVar("T")
MAX_BYTES = 2**30  # five million files at 200 bytes each; a link to /dev/zero has no end


def read_index(path: str | os.PathLike[str], key: object, parse: Callable[[Any], T]) -> T | None:
    """The entries that `write_index` stored under this key, as `parse` returns them.

    None when the file is missing, damaged, no regular file, or has another key. `parse` may raise
    TypeError, ValueError, KeyError or AttributeError for entries of another shape.
    """
    try:
        facts = os.stat(path)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_BYTES:
            return None
        with open(path, "rb") as file:
            first, _, entries = file.read().partition(b"\n")
        head = json.loads(first)
        if head["key"] != key or head["crc32"] != crc32(entries):
            return None
        return parse(json.loads(entries))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def write_index(path: str | os.PathLike[str], key: object, entries: object) -> None:
    """Store entries under a key; both must be plain JSON data.

    A cache folder that cannot be written costs time and nothing else, so that is no error.
    """
    from pathlib import Path

    text = json.dumps(entries)
    with suppress(ZooError):
        write_text(Path(path), json.dumps({"key": key, "crc32": crc32(text.encode())}) + "\n" + text)
