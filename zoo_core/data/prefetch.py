"""Prefetching: threads work on the next items while the present one is used; order is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def prefetch(items: Iterable[T], begin: Callable[[T], Sequence[Future[R]]], count: int) -> Generator[tuple[T, list[R]]]:
    """Yield each item with the results of its futures; `count` items are at work at any time.

    Closing the generator early cancels the futures that have not begun.
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
    """Yield each item once the next one exists: a device computes the next while this one is
    copied."""
    before = deque[T]()
    for item in items:
        before.append(item)
        if len(before) > 1:
            yield before.popleft()
    yield from before
