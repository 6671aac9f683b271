"""The stores of a cache folder, and how room is made for others: the least recently used are
removed first."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl


def evict(
    entries: Iterable[tuple[Path, int]],
    room: int,
    remove: Callable[[Path], bool],
    *,
    keep: Collection[Path] = (),
) -> list[Path]:
    """Remove entries until the rest take at most `room` bytes; return those removed.

    `entries` are paths and their bytes, the least recently used first. Those in `keep`, and those
    for which `remove` returns False because they are in use, stay and count.
    """
    listed = list(entries)
    total = sum(size for _, size in listed)
    removed = []
    for path, size in listed:
        if total <= room:
            break
        if path not in keep and remove(path):
            total -= size
            removed.append(path)
    return removed


def stores(root: Path) -> list[tuple[Path, int]]:
    """The stores in a cache folder with their sizes in bytes, the least recently used first."""
    found = []
    folders = {file.parent for name in ("rows", "index") for file in root.glob(f"*/*/{name}")}
    for folder in folders:
        with suppress(FileNotFoundError):  # another process may remove it meanwhile
            found.append((folder.stat().st_mtime, folder, sum(file.stat().st_size for file in folder.iterdir())))
    return [(folder, size) for _, folder, size in sorted(found)]


def remove_store(folder: Path) -> bool:
    """Remove a store, whole or not at all; False when a process uses it."""
    try:
        rows = os.open(folder / "rows", os.O_RDWR | getattr(os, "O_NONBLOCK", 0))
    except OSError:  # no file: nobody can use the store
        rows = -1
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        if sys.platform != "win32" and rows >= 0:
            fcntl.flock(rows, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif rows >= 0:
            os.close(rows)
            rows = -1
        folder.rename(aside)  # at once: nobody finds half of it
    except FileNotFoundError:
        return True
    except OSError:  # held by another process; or Windows, where a folder with open files keeps its name
        return False
    finally:
        if rows >= 0:
            os.close(rows)
    shutil.rmtree(aside, ignore_errors=True)
    return True


def make_room(root: Path, needed: int, budget: int, *, keep: Collection[Path] = ()) -> list[Path]:
    """Remove the least recently used stores until `needed` bytes more fit into the budget; return
    those removed.

    Stores in `keep`, and those that a process uses, stay.
    """
    return evict(stores(root), budget - needed, remove_store, keep=keep)
