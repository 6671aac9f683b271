"""Ctrl-C and SIGTERM as a wish: the step is finished and saved, then the run ends. A second one ends it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from zoo_core.devices.launched import leave_closed_terminal, stopping_signals
from zoo_core.errors import ZooError


class Interrupted(ZooError):
    """The run was stopped from outside; all that was done is saved. The command line exits with 130 or 143."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum
        self.exit_code = 128 + signum

    def __reduce__(self) -> tuple[type[Interrupted], tuple[str, int]]:
        return Interrupted, (str(self), self.signum)


class ForcedExit(KeyboardInterrupt):
    """A second signal came: nobody may catch this on the way who does not know what it is."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


class StopRequest:
    """Whether somebody asked to stop, and by which signal."""

    signal: int | None = None


@contextmanager
def stop_on_signals(tell: Callable[[], None]) -> Iterator[StopRequest]:
    """Take the first Ctrl-C or SIGTERM as a wish to stop (`tell` is called then); the second raises LeftAtOnce."""
    stop_request = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may listen to signals
        yield stop_request
        return

    def heard(signum: int, frame: Any) -> None:
        if stop_request.signal is not None:
            raise ForcedExit(signum)
        stop_request.signal = signum
        leave_closed_terminal(signum)
        with suppress(RuntimeError):  # the signal may have come in the middle of another print to the same stream
            tell()

    before = {number: signal.signal(number, heard) for number in stopping_signals()}
    try:
        yield stop_request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
