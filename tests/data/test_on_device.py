"""What a device does to the bytes of images is what Pillow and NumPy do; all of it is tried on a CPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import act_as_accelerator
from zoo_core.data import batches as batches_module
from zoo_core.data.augmentation import Augmentation
from zoo_core.data.batches import Batches, in_groups
from zoo_core.data.on_device import crop_together
from zoo_core.data.prefetch import lagged, prefetch
from zoo_core.data.sources import ArrayImages, Part
from zoo_core.data.transforms import FRESH, Crop, Pixels, apply_crop, crop_of
from zoo_core.devices.kinds import KINDS, Accelerator, Kind
from zoo_core.devices.transfer import to_cpu_async
from zoo_core.weights_specs import Interpolation, Preprocessing

CPU = torch.device("cpu")
GREY = Preprocessing(size=32, mean=(0.5,), std=(0.5,))
COLOUR = Preprocessing(size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def like_a_photo(width: int, height: int, channels: int, seed: int) -> Pixels:
    """Smooth patches of light, and no noise: that of neighbouring pixels differs little."""
    coarse = np.random.default_rng(seed).integers(0, 256, (channels, height // 6, width // 6), dtype=np.uint8)
    planes = [Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC) for plane in coarse]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def varied(preprocessing: Preprocessing) -> list[tuple[Pixels, Crop]]:
    """Images of many shapes, upright and across, with a crop each: of views that are seen again, of fresh ones, and the
    centre."""
    pairs = []
    for number in range(60):
        sides = (37 + 2 * number, 37) if number % 2 else (37, 37 + number)
        small = like_a_photo(*sides, preprocessing.channels, seed=number)
        view = FRESH + number if number % 3 else number % 5
        pairs.append((small, crop_of(small, 32, "crop-flip", view, bytes([number] * 16))))
    return pairs


@pytest.mark.parametrize(("how", "levels"), [("nearest", 0), ("bilinear", 1), ("bicubic", 2)])
@pytest.mark.parametrize("preprocessing", [GREY, COLOUR], ids=["grey", "colour"])
def test_many_images_crop_together_look_as_pillow_cuts_each(
    preprocessing: Preprocessing, how: Interpolation, levels: int
) -> None:
    preprocessing = replace(preprocessing, interpolation=how)
    pairs = varied(preprocessing)
    assert {crop.flipped for _, crop in pairs} == {True, False}
    together = crop_together(pairs, preprocessing, CPU).permute(0, 2, 3, 1).numpy().astype(int)
    one_by_one = np.stack([apply_crop(small, crop, preprocessing) for small, crop in pairs]).astype(int)
    difference = np.abs(together - one_by_one)
    assert difference.max() <= levels
    assert difference.mean() < 0.25
    exact = [number for number, (_, crop) in enumerate(pairs) if isinstance(crop.box[0], int)]
    assert exact
    assert not difference[exact].any()


def test_a_panorama_takes_no_more_memory_than_its_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    panorama = like_a_photo(3000, 37, 1, seed=0)
    pairs = [(panorama, crop_of(panorama, 32, "crop-flip", FRESH + number, b"x" * 16)) for number in range(4)]
    widths: list[int] = []
    zeros = np.zeros

    def noted(shape: tuple[int, ...], *more: object) -> np.ndarray:
        widths.append(shape[2])
        return zeros(shape, *more)

    monkeypatch.setattr(np, "zeros", noted)
    crop_together(pairs, GREY, CPU)
    assert 0 < max(widths) < 60


def test_a_device_that_computes_apart_cuts_what_is_cropped_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_there: list[int] = []

    def noted(pairs: list[tuple[Pixels, Crop]], *more: object) -> torch.Tensor:
        cut_there.append(len(pairs))
        return crop_together(pairs, *more)

    act_as_accelerator(monkeypatch)
    monkeypatch.setattr(batches_module, "crop_together", noted)
    images = np.stack([like_a_photo(40, 40, 1, seed=number)[..., 0] for number in range(10)])
    part = Part(ArrayImages("noise", images), np.zeros(10, np.int64))
    groups = in_groups([(index, FRESH) for index in range(10)], 4)
    for augment, expected in (("crop-flip", [4, 4, 2]), ("crop", [4, 4, 2]), ("flip", []), ("none", [])):
        cut_there.clear()
        batches = Batches(part, GREY, 4, workers=2, augment=Augmentation(augment))
        for there, here in zip(batches.batches_on(CPU, groups), batches.batches(groups), strict=True):
            assert there.shape == here.shape
            assert (there.int() - here.int()).abs().max() <= (1 if expected else 0)
        assert cut_there == expected


def test_what_is_fetched_is_what_was_there() -> None:
    tensors = {"a": torch.arange(3), "b": torch.ones(2, 2)}
    there = to_cpu_async(tensors)()
    assert there.keys() == tensors.keys()
    assert all(torch.equal(there[key], tensors[key]) for key in tensors)


def test_work_ahead_comes_in_order_and_so_many_at_once() -> None:
    at_work = 0
    most = 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.02 / (number + 1))
        with lock:
            at_work -= 1
        return number * number

    with ThreadPoolExecutor(8) as pool:
        found = list(prefetch(range(10), lambda number: [pool.submit(work, number)], 3))
    assert found == [(number, [number * number]) for number in range(10)]
    assert 1 < most <= 3


def test_whoever_ends_early_lets_nothing_more_begin() -> None:
    begun: list[Future[None]] = []
    free = threading.Event()

    def begin(number: int) -> list[Future[None]]:
        begun.append(pool.submit(lambda: None if number == 0 else free.wait(10) and None))
        return begun[-1:]

    with ThreadPoolExecutor(1) as pool:
        with closing(prefetch(range(100), begin, 4)) as done:
            next(done)
        assert [future.cancelled() for future in begun[2:]] == [True, True]
        free.set()
    assert len(begun) == 4


def test_one_behind_gives_everything_when_the_next_one_was_begun() -> None:
    begun: list[int] = []

    def numbers() -> object:
        for number in range(4):
            begun.append(number)
            yield number

    assert [(number, len(begun)) for number in lagged(numbers())] == [(0, 2), (1, 3), (2, 4), (3, 4)]


class Marking(Kind):
    """A kind of device with pinned memory, which notes where it is asked for a mark."""

    has_pinned_memory = True
    marked: ClassVar[list[torch.device]] = []

    def mark(self, device: torch.device) -> Callable[[], None]:
        self.marked.append(device)
        return lambda: None


def test_the_copies_of_each_device_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "cpu", Marking())
    to_cpu_async({"a": torch.ones(2), "b": torch.ones(3)})()
    assert Marking.marked == [CPU]


def test_a_mark_is_that_of_the_devices_own_work() -> None:
    """Seen to fail: it was that of the first GPU, so the copies of the second were read before they were complete."""
    recorded: list[object] = []
    event = SimpleNamespace(record=recorded.append, synchronize=lambda: None)
    module = SimpleNamespace(Event=lambda: event, current_stream=lambda device: f"the stream of {device}")

    class Gpu(Accelerator):
        @property
        def module(self) -> Any:
            return module

    Gpu("cuda").mark(torch.device("cuda", 1))()
    assert recorded == ["the stream of cuda:1"]
