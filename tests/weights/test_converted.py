"""Converted weights in the cache are those that were written, or are made anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from zoo_core.paths import sha256_of
from zoo_core.tensors import read_tensors
from zoo_core.weights.fetch import converted


@pytest.fixture
def origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    torch.save({"weight": torch.arange(100.0)}, tmp_path / "net.pth")
    return tmp_path / "net.pth"


def flip(path: Path, *, set_back: bool) -> None:
    facts = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    if set_back:
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.mark.parametrize("set_back", [False, True])
def test_a_flipped_bit_in_converted_weights_is_found_and_they_are_converted_again(origin: Path, set_back: bool) -> None:
    """Before, they were used as they were, and the run stated the hash of the original."""
    path = converted(origin, sha256_of(origin))
    flip(path, set_back=set_back)
    assert torch.equal(read_tensors(converted(origin, sha256_of(origin)))["weight"], torch.arange(100.0))


def test_converted_weights_without_a_record_are_converted_again_and_protected_from_then_on(
    origin: Path, tmp_path: Path
) -> None:
    """The original is at hand, so the result of an older zoo need not be trusted."""
    path = converted(origin, sha256_of(origin))
    written = path.stat().st_mtime_ns
    for record in (tmp_path / "cache" / "verified").iterdir():
        record.unlink()
    again = converted(origin, sha256_of(origin)).stat().st_mtime_ns
    assert again != written
    assert converted(origin, sha256_of(origin)).stat().st_mtime_ns == again
    flip(path, set_back=True)
    assert converted(origin, sha256_of(origin)).stat().st_mtime_ns != again
