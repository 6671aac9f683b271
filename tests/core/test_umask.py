"""Files get the permissions that the user's umask gives, and no other thread's file gets more."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from zoo_core.paths import write_text


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_written_file_has_the_permissions_of_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~mask


def test_the_umask_of_the_process_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, it was 0 for a moment: files of other threads were made writable for everybody."""
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail(f"umask({mask:o})"))
    threads = [threading.Thread(target=write_text, args=(tmp_path / f"{n}.txt", "x")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    write_text(tmp_path / "last.txt", "x")
    assert len(list(tmp_path.iterdir())) == 5
