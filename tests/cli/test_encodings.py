"""Output that is not UTF-8, and a notebook's settings, end no command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import make_photos

NAMES = ("猫", "café 🐈")


def zoo(*arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "zoo_core", *arguments], capture_output=True, env={**os.environ, **variables}
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose classes have names outside every code page, trained under a notebook's backend that is not here."""
    folder = tmp_path_factory.mktemp("encodings")
    photos = make_photos(folder / "photos", count=4, size=32)
    for old, new in zip(sorted(photos.iterdir()), NAMES, strict=False):
        old.rename(photos / new)
    out = folder / "run"
    options = ("--backbone", "lenet5", "--data", str(photos), "--epochs", "1", "--out", str(out))
    done = zoo("finetune", *options, PYTHONIOENCODING="cp1252", MPLBACKEND="module://matplotlib_inline.nowhere")
    assert done.returncode == 0, done.stderr.decode("cp1252")
    return out


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_tables_and_answers_are_printed_in_any_encoding(run: Path, encoding: str) -> None:
    """Seen to fail without `errors="backslashreplace"`: UnicodeEncodeError."""
    for arguments in (["list"], ["list", "strategies"], ["evaluate", str(run)]):
        done = zoo(*arguments, PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr.decode(encoding)
        assert b"Traceback" not in done.stderr
        done.stdout.decode("utf-8" if encoding == "ascii" else encoding)  # click takes ASCII for a mistake


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_json_is_json_in_any_encoding(run: Path, encoding: str) -> None:
    """Seen to fail where the stream escapes: `\\U0001f408` and `\\xe9` are none of JSON's escapes."""
    done = zoo("evaluate", str(run), "--json", PYTHONIOENCODING=encoding)
    answer = json.loads(done.stdout.decode(encoding))
    assert {row["class"] for row in answer["classes"]} >= set(NAMES)


def test_a_notebooks_backend_leaves_the_pictures(run: Path) -> None:
    """Seen to fail where matplotlib was imported with it: the run ended after its last epoch, without weights."""
    assert (run / "curves.png").is_file()
    assert (run / "model.safetensors").is_file()
