"""One run of a machine computes the features of a split point at a time: others wait, and find
them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from zoo_core.data.scan import Watch
from zoo_core.devices.world import World

WAITING = "another run computes these features: waiting for it"
"""The message of a run that waits."""
POLL = 0.2  # seconds between two looks whether a stop was asked for


@contextmanager
def computing_alone(
    store: Path, missing: int, world: World, watch: Watch, message: Callable[[str], None]
) -> Iterator[bool]:
    """Hold the features in the folder `store` against other runs that miss some; the value says
    whether this one had to wait, so that fewer may be missing by now. `message` hears of the wait.

    A run that misses nothing waits for nobody, and processes that train together share the work.
    """
    if not missing or world.size > 1:
        yield False
        return
    lock, has_waited = FileLock(store / "computing"), False
    while not lock.is_locked:
        try:
            lock.acquire(timeout=POLL)
        except FileNotFoundError:  # somebody removed the folder by hand: nobody else computes into it
            break
        except Timeout:
            if not has_waited:
                message(WAITING)
            has_waited = True
            watch(0, missing)  # which ends this run if that was asked for
    try:
        yield has_waited
    finally:
        lock.release()
