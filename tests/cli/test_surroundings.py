"""The surroundings of a command: no memory anywhere ends in one message, and threads wait briefly."""

from __future__ import annotations

import os
import sys

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
