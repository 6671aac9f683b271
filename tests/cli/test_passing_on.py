"""A Ctrl-C that the processes of `--devices` cannot be sent, as on Windows, where the console sends it to all of them."""

from __future__ import annotations

import signal

import pytest

from zoo_core.cli import together
from zoo_core.devices.launched import stopping_signals


class Deaf:
    """A process of Windows."""

    returncode = 0

    def send_signal(self, signum: int) -> None:
        raise ValueError(f"Unsupported signal: {signum}")


def test_the_launcher_waits_for_processes_that_it_cannot_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: it ended in a traceback."""
    monkeypatch.setattr(together, "_wait", lambda processes: signal.raise_signal(signal.SIGINT))
    before = {number: signal.getsignal(number) for number in stopping_signals()}
    try:
        assert together._run([Deaf()], [None]) == 0  # type: ignore[list-item]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
