"""Work of threads on what comes next, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetch(items: Iterable[T], begin: Callable[[T], Sequence[Future[R]]], count: int) -> Generator[tuple[T, list[R]]]:
    """Each item with what its futures gave, while those of the next items, `count` at once, are at work.

    Whoever ends early closes it: what has not begun is cancelled.
    """
    waiting: deque[tuple[T, Sequence[Future[R]]]] = deque()
    coming = iter(items)
    try:
        while True:
            waiting.extend((item, begin(item)) for item in islice(coming, count - len(waiting)))
            if not waiting:
                return
            item, futures = waiting.popleft()
            yield item, [future.result() for future in futures]
    finally:
        for _, futures in waiting:
            for future in futures:
                future.cancel()


def lagged(items: Iterable[T]) -> Iterator[T]:
    """The items, each only when the next one is there: a device computes that one while this one is fetched."""
    before = deque[T]()
    for item in items:
        before.append(item)
        if len(before) > 1:
            yield before.popleft()
    yield from before
