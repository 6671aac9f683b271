"""Stop requests: after the first Ctrl-C or SIGTERM the step is finished and saved, after the second
the run ends at once.

The trainer obeys them in `Trainer._save_or_stop`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from zoo_core.devices.launched import leave_closed_terminal, stopping_signals
from zoo_core.errors import ZooError


class Interrupted(ZooError):
    """A stop request ended the run; all that was done is saved. The command line exits with 130 or
    143."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum
        self.exit_code = 128 + signum

    def __reduce__(self) -> tuple[type[Interrupted], tuple[str, int]]:
        return Interrupted, (str(self), self.signum)


class ForcedExit(KeyboardInterrupt):
    """A second signal ended the run. Only the run itself catches it; an `except Exception` on the
    way does not."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


class StopRequest:
    """A request to stop, with the signal that made it; None as long as there is none.

    `error` is that of a callback, for which the run stops as if it were interrupted.
    """

    signal: int | None = None
    error: Exception | None = None


@contextmanager
def stop_on_signals(announce: Callable[[], None]) -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a stop request, and call `announce`; the second raises
    ForcedExit."""
    stop_request = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield stop_request
        return

    def handle(signum: int, frame: Any) -> None:
        if stop_request.signal is not None:
            raise ForcedExit(signum)
        stop_request.signal = signum
        leave_closed_terminal(signum)
        with suppress(RuntimeError):  # the signal may have come in the middle of another print to the same stream
            announce()

    before = {number: signal.signal(number, handle) for number in stopping_signals()}
    try:
        yield stop_request
    finally:
        for number, handler in before.items():
            if handler is not None:  # else it is none of Python's, and cannot be put back
                signal.signal(number, handler)


def stopped_by(signum: int) -> str:
    """The participle for a message: interrupted, or terminated."""
    return "interrupted" if signum == signal.SIGINT else "terminated"
