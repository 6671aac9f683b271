"""Folders of publishes that were killed do not stay for ever."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from zoo_core.hub import publish


def test_the_folder_of_a_killed_publish_goes_with_a_later_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail with nothing removed: the old folder stays."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("zoo-publish-old", "zoo-publish-at-work", "of-another-program"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"x")
    two_days_ago = (tmp_path / "zoo-publish-old").stat().st_mtime - 2 * 24 * 3600
    for name in ("zoo-publish-old", "of-another-program"):
        os.utime(tmp_path / name, (two_days_ago, two_days_ago))
    publish._remove_leftovers()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["of-another-program", "zoo-publish-at-work"]
