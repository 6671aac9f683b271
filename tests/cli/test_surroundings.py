"""The surroundings of a command: no memory anywhere ends in one message, and threads wait briefly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo_core.cli import main as command_line
from zoo_core.devices.cores import WAITING


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail at x.cpp:1] DefaultCPUAllocator: can't allocate memory")],
    ids=["python", "torch"],
)
def test_no_memory_ends_in_one_message_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    """Seen to fail without the clause: the traceback of MemoryError, or of torch's RuntimeError."""

    def full(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(command_line.zoo, "main", full)
    monkeypatch.setattr(sys, "argv", ["zoo", "list"])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: out of memory. ")


def test_the_threads_of_a_command_wait_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before torch is imported, which reads the variables."""
    for name in WAITING:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    seen: list[dict[str, str | None]] = []
    monkeypatch.setattr(command_line, "_run", lambda: seen.append({name: os.environ.get(name) for name in WAITING}))
    monkeypatch.setattr(sys, "argv", ["zoo"])
    with pytest.raises(SystemExit):
        command_line.main()
    assert seen == [WAITING]


def test_a_closed_output_is_no_traceback(tmp_path: Path) -> None:
    """As some daemons start commands. Seen to fail: an AttributeError of Python's."""
    command = [sys.executable, "-m", "zoo_core", "list", "heads"]
    for closing in ("exec {} >&-", "exec {} --json >&-"):
        found = subprocess.run(
            ["sh", "-c", closing.format(" ".join(command))], stderr=subprocess.PIPE, text=True, check=False
        )
        assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("words", ["check {photos} --backbone none --html page.html --fix-list list.csv"])
def test_files_are_written_before_a_reader_of_the_output_leaves(words: str, photos: Path, tmp_path: Path) -> None:
    """Seen to fail: `zoo check ... | true` wrote neither the page nor the list."""
    (photos / "red" / "copy.png").write_bytes((photos / "red" / "1.png").read_bytes())
    made = words.format(photos=photos)
    environment = {**os.environ, "ZOO_CACHE": str(tmp_path / "cache")}
    subprocess.run(
        ["sh", "-c", f"{sys.executable} -m zoo_core {made} | true"], cwd=tmp_path, env=environment, check=False
    )
    assert (tmp_path / "page.html").is_file()
    assert (tmp_path / "list.csv").is_file()


def test_a_full_disk_is_told_with_the_file_and_a_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "/some/file")

    monkeypatch.setattr(command_line, "_run", full)
    monkeypatch.setattr(sys, "argv", ["zoo"])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith("error: /some/file cannot be read or written: No space left on device. Free space")
