"""Output that is not UTF-8, and a notebook's settings, end no command."""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import make_photos
from zoo_core.cli.main import main

NAMES = ("猫", "café 🐈")
Printed = Callable[..., bytes]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose classes have names outside every code page, trained under a notebook's backend that is not here."""
    folder = tmp_path_factory.mktemp("encodings")
    photos = make_photos(folder / "photos", count=4, size=32)
    for old, new in zip(sorted(photos.iterdir()), NAMES, strict=False):
        old.rename(photos / new)
    out = folder / "run"
    options = ("--backbone", "lenet5", "--data", str(photos), "--epochs", "1", "--out", str(out))
    variables = {"PYTHONIOENCODING": "cp1252", "MPLBACKEND": "module://matplotlib_inline.nowhere"}
    command = [sys.executable, "-m", "zoo_core", "finetune", *options]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **variables})
    assert done.returncode == 0, done.stderr.decode("cp1252")
    return out


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Printed:
    """What a command prints to streams of an encoding, as the interpreter makes them. It must end well."""
    monkeypatch.setattr(signal, "signal", lambda *given: None)  # this process keeps its own handlers and thresholds
    monkeypatch.setattr(gc, "set_threshold", lambda *given: None)

    def call(encoding: str, *arguments: str) -> bytes:
        out, errors = (io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2))
        with monkeypatch.context() as streams:
            for name, value in (("stdout", out), ("stderr", errors), ("argv", ["zoo", *arguments])):
                streams.setattr(sys, name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        assert ended.value.code == 0, errors.buffer.getvalue()
        return out.buffer.getvalue()

    return call


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
@pytest.mark.parametrize("command", ["list", "list strategies", "evaluate RUN"])
def test_tables_and_answers_are_printed_in_any_encoding(
    run: Path, printed: Printed, encoding: str, command: str
) -> None:
    """Seen to fail without `errors="backslashreplace"`: UnicodeEncodeError."""
    shown = printed(encoding, *command.replace("RUN", str(run)).split())
    shown.decode("utf-8" if encoding == "ascii" else encoding)  # click takes ASCII for a mistake
    assert len(shown) > 100


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_json_is_json_in_any_encoding(run: Path, printed: Printed, encoding: str) -> None:
    """Seen to fail where the stream escapes: `\\U0001f408` and `\\xe9` are none of JSON's escapes."""
    answer = json.loads(printed(encoding, "evaluate", str(run), "--json").decode(encoding))
    assert {row["class"] for row in answer["classes"]} >= set(NAMES)


def test_a_notebooks_backend_leaves_the_pictures(run: Path) -> None:
    """Seen to fail where matplotlib was imported with it: the run ended after its last epoch, without weights."""
    assert (run / "curves.png").is_file()
    assert (run / "model.safetensors").is_file()
