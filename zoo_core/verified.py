"""Records of verified files: the sha256 of a file, valid while the file on disk is the same one.

A record holds the size and the times of the file. The time of its last change (ctime) cannot be set
back, so that a file that was written to is hashed again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from zoo_core.errors import ZooError
from zoo_core.paths import cache_dir, sha256_of, write_text

RESTED = 2_000_000_000  # nanoseconds, many ticks of any file system


def remember(path: Path, sha256: str) -> None:
    """Record the sha256 of a file, so that it is not hashed at every start."""
    with suppress(ZooError, OSError):  # a record only saves time
        write_text(_record(path), json.dumps({"sha256": sha256, **_facts(path)}))


def sha256_once(path: Path, compute: Callable[[Path], str]) -> str:
    """The sha256 of a file, computed only where none is recorded for the file as it is.

    It is recorded where the file has rested: one that is being written may change again within one
    tick of its times.
    """
    known = unchanged_sha256(path)
    if known is not None:
        return known
    before, now = _facts(path), time.time_ns()
    found = compute(path)
    if _facts(path) == before and now - max(before["mtime_ns"], before["ctime_ns"]) > RESTED:
        remember(path, found)
    return found


def recorded_sha256(path: Path) -> str | None:
    """The sha256 that was recorded for a file, whatever its bytes are now; None without a record."""
    return _read(path).get("sha256")


def unchanged_sha256(path: Path) -> str | None:
    """The recorded sha256 of a file that has not changed since, else None."""
    record = _read(path)
    try:
        same = {name: record[name] for name in ("size", "mtime_ns", "ctime_ns")} == _facts(path)
    except (OSError, KeyError):
        return None
    return record.get("sha256") if same else None


def is_as_written(path: Path) -> bool:
    """Whether a file of the cache is there with the bytes that were written.

    A file without a record, which an older zoo wrote, is recorded as it is.
    """
    if not path.is_file():
        return False
    expected = recorded_sha256(path)
    if expected is not None and unchanged_sha256(path) == expected:
        return True
    actual = sha256_of(path)
    if expected not in (None, actual):
        return False
    remember(path, actual)
    return True


def _record(path: Path) -> Path:
    return cache_dir() / "verified" / f"{hashlib.sha256(bytes(path.resolve())).hexdigest()}.json"


def _facts(path: Path) -> dict[str, int]:
    facts = path.resolve().stat()
    return {"size": facts.st_size, "mtime_ns": facts.st_mtime_ns, "ctime_ns": facts.st_ctime_ns}


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(_record(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) and isinstance(record.get("sha256"), str) else {}
