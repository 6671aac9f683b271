"""Weights converted to safetensors in the cache: used only while they are the bytes that were written.

Beside `NAME.safetensors` lies `NAME.json` with the sha256 of its bytes, and the size and times that the file had when they
were hashed. A file that changed since is hashed again, and one with other bytes is converted again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.errors import WeightsError
from zoo_core.json_index import read_index, write_index
from zoo_core.paths import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

KEY = "converted"


def write_converted(target: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as a converted file, and the proof beside it."""
    from zoo_core.tensors import write_tensors

    _proof(target).unlink(missing_ok=True)
    write_tensors(target, tensors)
    _record(target, sha256_of(target))


def is_proven(path: Path) -> bool:
    """Whether a converted file has the bytes that were written."""
    known = read_index(_proof(path), KEY, dict)
    if known is None or not path.is_file():
        return False
    if known.get("stamp") == _stamp(path):
        return True
    if sha256_of(path) != known.get("sha256"):
        return False
    _record(path, str(known["sha256"]))
    return True


def take_over(path: Path) -> bool:
    """Accept a file that zoo 0.1.0 converted, without a proof, if its structure is sound; it is proven from then on.

    Its original would have to be downloaded again.
    """
    from zoo_core.tensors import check_header

    if _proof(path).exists():
        return False
    try:
        check_header(path)
    except WeightsError:
        return False
    _record(path, sha256_of(path))
    return True


def discard(path: Path) -> None:
    """Remove a converted file that is not proven."""
    path.unlink(missing_ok=True)
    _proof(path).unlink(missing_ok=True)


def _proof(path: Path) -> Path:
    return path.with_suffix(".json")


def _record(path: Path, sha256: str) -> None:
    write_index(_proof(path), KEY, {"sha256": sha256, "stamp": _stamp(path)})


def _stamp(path: Path) -> list[int]:
    facts = os.stat(path)
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
