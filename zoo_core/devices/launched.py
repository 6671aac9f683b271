"""How this process was started, and which signals end it. The command line asks here before torch
is imported."""

from __future__ import annotations

import os
import signal
import stat
from contextlib import suppress


def is_distributed() -> bool:
    """Whether torchrun, or `--devices`, started this process as one of several that train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def stopping_signals() -> list[signal.Signals]:
    """The signals that ask a training to save and stop: Ctrl-C, SIGTERM, and the SIGHUP of a closed
    terminal.

    Windows has no SIGHUP, and under nohup it stays ignored.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


def leave_closed_terminal(signum: int) -> None:
    """After a SIGHUP, print to nowhere: the terminal is gone, and writing to it would fail in the
    middle of saving."""
    if signum != getattr(signal, "SIGHUP", None):
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        with suppress(OSError):  # it may have been closed before
            if stat.S_ISCHR(os.fstat(number).st_mode):
                os.dup2(nowhere, number)
    os.close(nowhere)
