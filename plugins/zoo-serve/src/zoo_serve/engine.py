"""The engine: threads prepare images, one thread computes the network, on whatever came meanwhile.

A batch is not waited for: while one is computed, the next gathers. Shapes: B batch, S side of the
network's input, C channels.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from zoo_core import DataError, Prediction, Predictor
from zoo_serve.limits import Limits, Refusal


@dataclass(frozen=True)
class Wish:
    """The settings of an answer, as `zoo predict` has them."""

    top: int = 5
    threshold: float | None = None
    reject: bool = False


@dataclass(eq=False)
class _Item:
    """An image that waits for the network."""

    square: Any
    name: str
    wish: Wish
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Prediction]
    is_given_up: bool = False


@dataclass
class Counts:
    """The figures of an engine for the metrics."""

    images: int = 0
    batches: int = 0
    held_bytes: int = 0
    """Of the bodies of requests that are not answered yet."""
    pending: int = 0
    """Images that are accepted and not yet answered."""


class Engine:
    """Answers images with a predictor. Its methods are called in the event loop's thread."""

    def __init__(self, predictor: Predictor, limits: Limits, workers: int) -> None:
        self.predictor, self.limits = predictor, limits
        self.counts = Counts()
        self._waiting: deque[_Item] = deque()
        self._ready = threading.Condition()
        self._pool = ThreadPoolExecutor(workers, "zoo-prepare")
        self._closed = False
        self._thread = threading.Thread(target=self._compute, name="zoo-compute", daemon=True)
        self._thread.start()

    def admit(self, images: int) -> None:
        """Raise Refusal 503 where so many images more are too many."""
        if self.counts.pending + images > self.limits.max_waiting:
            raise Refusal(
                503,
                f"{self.counts.pending} images wait already, and {self.limits.max_waiting} may. Try again soon.",
                {"Retry-After": "1"},
            )

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold the place of one image while a body is read. Raises Refusal."""
        self.admit(1)
        self.counts.pending += 1
        try:
            yield
        finally:
            self.counts.pending -= 1

    async def answers(self, images: Sequence[Any], names: Sequence[str], wish: Wish) -> list[Prediction]:
        """The predictions for images: bytes of files, or arrays (H, W, C). The first has a
        `place` already.

        Raises Refusal for one that cannot be read, for too many, and for too slow answers.
        """
        more = len(images) - 1
        self.admit(more)
        self.counts.pending += more
        try:
            answers = [self._answer(image, name, wish) for image, name in zip(images, names, strict=True)]
            return await asyncio.wait_for(asyncio.gather(*answers), self.limits.timeout)
        except TimeoutError:
            raise Refusal(503, f"no answer in {self.limits.timeout:g} s. Try again.", {"Retry-After": "1"}) from None
        finally:
            self.counts.pending -= more

    async def _answer(self, image: Any, name: str, wish: Wish) -> Prediction:
        loop = asyncio.get_running_loop()
        try:
            square = await loop.run_in_executor(self._pool, self._prepare, image)
        except DataError as error:
            raise Refusal(400, f"{name} {error}.") from None
        except MemoryError:
            raise Refusal(503, f"there is no memory for {name}. Give a smaller image.") from None
        item = _Item(square, name, wish, loop, loop.create_future())
        with self._ready:
            self._waiting.append(item)
            self._ready.notify()
        try:
            return await item.answer
        finally:
            item.is_given_up = True

    def _prepare(self, image: Any) -> Any:
        return self.predictor.prepare(image, max_pixels=self.limits.max_pixels)

    def _compute(self) -> None:
        """The thread of the network: it answers batches until the engine is closed."""
        while (batch := self._next_batch()) is not None:
            try:
                found: Sequence[Any] = self._answered(batch)
            except Exception as error:  # of a plugin's network: these images fail, and the next are answered
                found = [error] * len(batch)
            with suppress(RuntimeError):  # the loop has ended: nobody waits
                batch[0].loop.call_soon_threadsafe(_deliver, batch, found)

    def _answered(self, batch: Sequence[_Item]) -> list[Prediction]:
        pixels_BCHW = torch.from_numpy(np.stack([item.square for item in batch])).permute(0, 3, 1, 2)
        wish = batch[0].wish
        found = self.predictor.answer(
            pixels_BCHW, [item.name for item in batch], top=wish.top, threshold=wish.threshold, reject=wish.reject
        )
        self.counts.batches += 1
        self.counts.images += len(batch)
        return found

    def _next_batch(self) -> list[_Item] | None:
        """The images that wait for the same settings, the first ones first; None at the end."""
        with self._ready:
            while True:
                while not self._waiting and not self._closed:
                    self._ready.wait()
                if not self._waiting:
                    return None
                waiting = [item for item in self._waiting if not item.is_given_up]
                batch = [item for item in waiting if item.wish == waiting[0].wish][: self.limits.max_batch]
                taken = set(map(id, batch))
                self._waiting = deque(item for item in waiting if id(item) not in taken)
                if batch:
                    return batch

    def close(self) -> None:
        """End the threads; what waits is answered first."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._thread.join()
        self._pool.shutdown()


def _deliver(batch: Sequence[_Item], found: Sequence[Any]) -> None:
    for item, one in zip(batch, found, strict=True):
        if item.answer.done():
            continue
        if isinstance(one, BaseException):
            item.answer.set_exception(one)
        else:
            item.answer.set_result(one)
