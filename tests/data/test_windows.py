"""The order of training over shards that are not all on disk at once.

Seen to fail without its guard: with the images in one permutation, every window asked for every shard.
"""

from __future__ import annotations

import numpy as np
import pytest

from zoo_core.data.batches import training_groups
from zoo_core.data.windows import Windows


@pytest.fixture
def windows() -> Windows:
    """Ten shards of six images and 100 bytes each, three of which may be asked for at a time."""
    return Windows(np.repeat(np.arange(10), 6), np.full(10, 100), 300)


def order_of(windows: Windows, *, seed: int = 0, epoch: int = 0) -> list[int]:
    groups = training_groups(60, 7, seed=seed, epoch=epoch, windows=windows)
    return [index for group in groups for index in group]


def test_every_image_comes_once(windows: Windows) -> None:
    assert sorted(order_of(windows)) == list(range(60))


def test_no_more_shards_are_asked_for_at_a_time_than_there_is_room_for(windows: Windows) -> None:
    order = order_of(windows)
    asked = [{index // 6 for index in order[start : start + 18]} for start in range(0, 60, 18)]
    assert [len(shards) for shards in asked] == [3, 3, 3, 1]
    assert len(set.union(*asked)) == 10


def test_images_are_shuffled_inside_a_window_and_shards_between_epochs(windows: Windows) -> None:
    first, again, next_epoch, other_seed = (
        order_of(windows, seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert first == again
    assert len({tuple(first), tuple(next_epoch), tuple(other_seed)}) == 3
    shards = [index // 6 for index in first[:18]]
    assert shards != sorted(shards, key=shards.index), "the shards of a window came one after the other"
    assert {index // 6 for index in first[:18]} != {index // 6 for index in next_epoch[:18]}


def test_a_shard_larger_than_the_room_has_a_window_of_its_own() -> None:
    windows = Windows(np.repeat(np.arange(4), 5), np.array([1000, 10, 10, 10]), 30)
    order = windows.order(np.random.default_rng(0)) // 5
    places = np.flatnonzero(order == 0)
    assert places.max() - places.min() == 4


def test_images_that_are_all_at_hand_are_trained_in_the_order_that_they_always_had() -> None:
    groups = training_groups(20, 20, seed=3, epoch=5)
    assert list(groups[0]) == np.random.default_rng([3, 5]).permutation(20).tolist()


def test_some_of_the_images_keep_their_shards(windows: Windows) -> None:
    some = windows.take([0, 59, 6])
    assert some.shard_of.tolist() == [0, 9, 1]
    assert sorted(some.order(np.random.default_rng(0)).tolist()) == [0, 1, 2]
