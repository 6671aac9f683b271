"""The engine: batches gather while one is computed, and what is too much or too slow is told."""

import asyncio
import threading
import time

import numpy as np
import pytest
from zoo_serve.engine import Engine, Wish
from zoo_serve.limits import Limits, Refusal
from zoo_serve.trial import fastest_batch

from zoo_core import DataError, Prediction


class Slow:
    """A predictor that takes its time, and keeps the sizes of its batches."""

    def __init__(self, seconds):
        self.seconds, self.batches, self.go_on = seconds, [], threading.Event()

    def prepare(self, image, *, max_pixels):
        if image == b"bad":
            raise DataError("is not an image that can be read")
        return np.zeros((2, 2, 3), np.uint8)

    def answer(self, pixels_BCHW, names, *, top, threshold, reject):
        assert tuple(pixels_BCHW.shape[1:]) == (3, 2, 2)
        self.batches.append((len(names), top))
        time.sleep(self.seconds)
        if "poison" in names:
            raise RuntimeError("a network of a plugin fails")
        return [Prediction(name, (("a", 1.0),)) for name in names]


def test_whatever_came_while_a_batch_was_computed_is_the_next_one():
    predictor = Slow(0.1)
    engine = Engine(predictor, Limits(max_batch=8), workers=1)

    async def ask():
        first = asyncio.create_task(engine.answers([b"x"], ["first"], Wish()))
        await asyncio.sleep(0.05)
        others = [engine.answers([b"x"], [f"{number}"], Wish()) for number in range(11)]
        different = engine.answers([b"x"], ["other"], Wish(top=2))
        return await asyncio.gather(first, *others, different)

    found = asyncio.run(ask())
    assert [one[0].image for one in found] == ["first", *map(str, range(11)), "other"]
    assert predictor.batches == [(1, 5), (8, 5), (3, 5), (1, 2)]
    assert (engine.counts.images, engine.counts.batches, engine.counts.pending) == (13, 4, 0)
    engine.close()


def test_a_full_queue_and_a_slow_answer_are_told():
    engine = Engine(Slow(0.3), Limits(max_waiting=2, timeout=0.1), workers=1)

    async def ask():
        async def placed():
            with engine.place():
                return await engine.answers([b"x"], ["a"], Wish())

        slow = [asyncio.create_task(placed()) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(Refusal, match="2 images wait already, and 2 may") as full:
            await placed()
        assert (full.value.status, full.value.headers) == (503, {"Retry-After": "1"})
        for one in slow:
            with pytest.raises(Refusal, match=r"no answer in 0.1 s"):
                await one
        assert engine.counts.pending == 0

    asyncio.run(ask())
    engine.close()


def test_a_bad_image_and_a_network_that_fails_cost_no_other_request():
    engine = Engine(Slow(0), Limits(), workers=2)

    async def ask():
        with pytest.raises(Refusal, match="image 1 is not an image that can be read"):
            await engine.answers([b"x", b"bad"], ["image 0", "image 1"], Wish())
        with pytest.raises(RuntimeError, match="of a plugin fails"):
            await engine.answers([b"x"], ["poison"], Wish())
        return await engine.answers([b"x"], ["next"], Wish())

    assert asyncio.run(ask())[0].image == "next"
    engine.close()


class Timed(Slow):
    """A predictor whose passes take as many seconds as a table says, and fail beyond it."""

    def __init__(self, seconds_of):
        super().__init__(0)
        self.seconds_of = seconds_of

    def prepare(self, image, **_):
        return super().prepare(image, max_pixels=1)

    def answer(self, pixels_BCHW, names, **_):
        if len(names) not in self.seconds_of:
            raise RuntimeError("out of memory")
        time.sleep(self.seconds_of[len(names)])
        self.batches.append(len(names))


@pytest.mark.parametrize(
    ("seconds_of", "fastest"),
    [
        ({1: 0.01, 2: 0.01, 4: 0.01, 8: 0.06, 16: 0.2, 32: 0.4}, 4),  # a processor whose cache is full
        ({1: 0.01, 2: 0.02, 4: 0.04, 8: 0.08, 16: 0.16, 32: 0.32}, 1),  # no gain: answers come sooner
        ({1: 0.01, 2: 0.01, 4: 0.01, 8: 0.01, 16: 0.01, 32: 0.01}, 32),
        ({1: 0.01, 2: 0.01}, 2),  # the memory ends
    ],
)
def test_the_largest_batch_is_the_fastest_of_a_trial(seconds_of, fastest):
    predictor = Timed(seconds_of)
    assert fastest_batch(predictor, seconds=2) == fastest
    assert set(predictor.batches) == set(seconds_of)


def test_the_trial_of_a_slow_network_ends_in_time():
    predictor = Timed({1: 0.1, 2: 0.2, 4: 0.4, 8: 0.8, 16: 1.6, 32: 3.2})
    start = time.perf_counter()
    assert fastest_batch(predictor, seconds=0.5) in (1, 2, 4)
    assert 8 not in predictor.batches
    assert time.perf_counter() - start > 0.5
