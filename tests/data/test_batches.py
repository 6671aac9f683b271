from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image

from zoo_core.data.batches import Batches, normalised
from zoo_core.data.bundled import fashion_small
from zoo_core.data.transforms import evaluation_pixels, random_box, training_pixels
from zoo_core.specs import Preprocessing

GREY = Preprocessing(size=32, crop=1.0, mean=(0.5,), std=(0.25,))
COLOUR = Preprocessing(size=24, crop=0.75, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
VAL = fashion_small().parts["val"]


def batches(count: int, batch_size: int, workers: int = 2) -> Batches:
    return Batches(VAL.take(range(count)), GREY, batch_size, workers)


def test_every_image_comes_once_in_order_in_evaluation() -> None:
    labels = torch.cat([labels for _, labels in batches(50, 16).in_order()])
    assert labels.tolist() == VAL.targets[:50].tolist()


@pytest.mark.parametrize("augment", ["none", "flip", "crop-flip"])
def test_a_shuffled_epoch_depends_on_seed_and_epoch_only(augment: str) -> None:
    def epoch(seed: int, number: int, workers: int) -> torch.Tensor:
        return torch.cat(
            [pixels for pixels, _ in batches(40, 16, workers).shuffled(seed=seed, epoch=number, augment=augment)]
        )

    first = epoch(0, 0, 1)
    assert torch.equal(first, epoch(0, 0, 4))
    assert not torch.equal(first, epoch(0, 1, 1))
    assert not torch.equal(first, epoch(1, 0, 1))


@pytest.mark.parametrize(("count", "sizes"), [(32, [16, 16]), (33, [16, 17]), (34, [16, 16, 2]), (1, [1])])
def test_no_training_batch_is_left_with_a_single_image(count: int, sizes: list[int]) -> None:
    made = batches(count, 16)
    assert [len(labels) for _, labels in made.shuffled(seed=0, epoch=0, augment="none")] == sizes
    assert made.training_steps == len(sizes)


def test_evaluation_is_resizing_the_shorter_side_and_keeping_the_centre() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 80, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    two_steps = image.resize((64, 32), Image.Resampling.BILINEAR).crop((20, 4, 44, 28))  # 24 / 0.75 = 32
    ours = evaluation_pixels(image, COLOUR).astype(int)
    assert np.abs(ours - np.asarray(two_steps).transpose(2, 0, 1).astype(int)).max() <= 1


def test_grey_images_come_with_one_channel_and_colour_with_three() -> None:
    image = VAL.images.read(0)
    assert evaluation_pixels(image, GREY).shape == (1, 32, 32)
    assert evaluation_pixels(image, COLOUR).shape == (3, 24, 24)


def test_a_random_box_lies_in_the_image_and_is_no_smaller_than_its_centre_square() -> None:
    chance = random.Random(0)
    for _ in range(500):
        left, top, right, bottom = random_box(60, 40, chance)
        assert 0 <= left < right <= 60
        assert 0 <= top < bottom <= 40
        assert 1600 / 2400 - 1e-9 <= (right - left) * (bottom - top) / 2400 <= 1.0


def test_flipping_mirrors_left_and_right() -> None:
    image = Image.fromarray(np.tile(np.arange(32, dtype=np.uint8), (32, 1)))
    seen = {tuple(training_pixels(image, GREY, "flip", random.Random(seed))[0, 0]) for seed in range(20)}
    assert seen == {tuple(range(32)), tuple(range(31, -1, -1))}


def test_pixels_are_scaled_and_normalised_by_channel() -> None:
    pixels = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    values = normalised(pixels, COLOUR, torch.device("cpu"))[0, :, 0, 0]
    assert torch.allclose(values, torch.tensor([(1 - 0.1) / 0.5, (1 - 0.2) / 0.6, (1 - 0.3) / 0.7]))
