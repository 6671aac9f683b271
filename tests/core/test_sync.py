"""What is written is on the disk before it gets its name; on Windows only those who may write a file sync it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from zoo_core import paths
from zoo_core.paths import sync, write_text


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How each file was opened that was synced."""
    found: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: found.append(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE))
    return found


@pytest.mark.parametrize(("system", "mode", "folders"), [("linux", os.O_RDONLY, 1), ("win32", os.O_RDWR, 0)])
def test_files_and_folders_are_synced_as_the_system_allows(
    system: str, mode: int, folders: int, tmp_path: Path, modes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "before", "")
    modes.clear()
    monkeypatch.setattr(paths.sys, "platform", system)
    write_text(tmp_path / "file", "text")
    assert modes == [mode]
    sync(tmp_path)
    assert modes == [mode] + [os.O_RDONLY] * folders
