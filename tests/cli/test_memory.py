"""No memory anywhere in a command ends in one message."""

from __future__ import annotations

import sys

import pytest

from zoo_core.cli import main as command_line


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
