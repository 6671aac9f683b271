"""Odd images are found by their pixels: blur, exposure, shape, and the share that the crop cuts off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from zoo_core.checking.odd import SPREADS, crop_sentence, is_blurred, lost_to_crop, odd_images
from zoo_core.checking.pixels import blur_of, measure_pixels
from zoo_core.checking.report import TINY
from zoo_core.data.sources import FolderImages, Part, Source
from zoo_core.data.transforms import resized
from zoo_core.weights_specs import Preprocessing

PREPROCESSING = Preprocessing(size=32, crop=0.875, mean=(0.5,), std=(0.5,))


class Pictures:
    """Images in memory."""

    def __init__(self, *images: Image.Image) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: int, *, at_least: int | None = None) -> Image.Image:
        return self.images[index]

    def digest(self, index: int) -> bytes:
        return bytes([index]) * 16

    def name(self, index: int) -> str:
        return str(index)


def source_of(*images: Image.Image) -> Source:
    pictures = Pictures(*images)
    return Source("pictures", (), {"train": Part(pictures, np.zeros((len(images), 0), np.float32))}, task="regression")


def garment(seed: int, *, side: int = 96, ratio: float = 1.0, noise: int = 2) -> Image.Image:
    """Coarse texture with sharp edges in the middle of a smooth studio background, with a little noise."""
    generator = np.random.default_rng(seed)
    width = round(side * ratio)
    pixels = np.full((side, width), 235, np.int64) - np.arange(width) // 20
    texture = generator.integers(20, 180, (8, 8)).repeat(side // 16, 0).repeat(side // 16, 1)
    pixels[side // 4 :, width // 4 :][: texture.shape[0], : texture.shape[1]] = texture
    pixels += generator.integers(-noise, noise + 1, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def test_blur_is_that_of_the_paper_pixel_by_pixel() -> None:
    luma = np.random.default_rng(0).random((14, 11)).astype(np.float32)

    def along(rows: np.ndarray) -> float:
        total = lost = 0.0
        for column in rows.T:
            at = [column[min(max(place, 0), len(column) - 1)] for place in range(-4, len(column) + 4)]
            again = [sum(at[place : place + 9]) / 9 for place in range(len(column))]
            for place in range(1, len(column)):
                before, after = abs(column[place] - column[place - 1]), abs(again[place] - again[place - 1])
                total, lost = total + before, lost + max(0.0, before - after)
        return 1 - lost / total

    assert blur_of(luma) == pytest.approx(max(along(luma), along(luma.T)), abs=1e-5)
    assert blur_of(np.full((20, 20), 0.5, np.float32)) == blur_of(luma[:5, :5]) == 0.0


def test_colours_are_those_of_the_whole_image() -> None:
    halves = Image.new("RGB", (300, 200), (200, 10, 10))
    halves.paste((10, 10, 200), (150, 0, 300, 200))
    grey = Image.new("L", (50, 50), 90)
    colours = measure_pixels(source_of(halves, grey), 1).colours
    assert (colours[0, :, :4] == (200, 10, 10)).all()
    assert (colours[0, :, 4:] == (10, 10, 200)).all()
    assert (colours[1] == 90).all()


def test_a_blurred_image_is_found_among_sharp_ones_with_smooth_backgrounds() -> None:
    images = [garment(seed) for seed in range(30)]
    images[7] = images[7].filter(ImageFilter.GaussianBlur(3))
    measures = measure_pixels(source_of(*images), 1)
    assert np.flatnonzero(is_blurred(measures.blur, np.ones(30, bool))).tolist() == [7]


def test_blur_is_relative_to_the_other_images() -> None:
    """A photographer's soft style is no fault of every image."""
    soft = [garment(seed).filter(ImageFilter.GaussianBlur(3)) for seed in range(30)]
    assert not is_blurred(measure_pixels(source_of(*soft), 1).blur, np.ones(30, bool)).any()
    few = np.array([0.3] * 8 + [0.9], np.float32)
    assert not is_blurred(few, np.ones(9, bool)).any()
    for above, named in ((-0.1, []), (0.1, [21])):
        spread = np.array([0.5, 0.6] * 10 + [0.5, 0.55 + (SPREADS + above) * 1.4826 * 0.05], np.float32)
        assert np.flatnonzero(is_blurred(spread, np.ones(22, bool))).tolist() == named
    sharp = np.array([0.26, 0.34] * 10 + [0.3, 0.53], np.float32)  # a photo of small pictures whose sharpness differs
    assert np.flatnonzero(is_blurred(sharp, np.ones(22, bool))).tolist() == [21]


def test_each_odd_image_has_its_kind() -> None:
    dark, bright = (Image.fromarray((np.asarray(garment(50)) // 8 + light).astype(np.uint8)) for light in (0, 222))
    odd = [
        Image.new("L", (96, 96), 120),
        dark,
        bright,
        garment(51, side=16),
        garment(52, ratio=5),
        garment(53, ratio=2),
    ]
    found = odd_images(measure_pixels(source_of(*odd, *(garment(seed) for seed in range(20))), 2), PREPROCESSING)
    places = {kind.name: [index for index, _, _ in suspects] for kind, suspects in found.items() if suspects}
    assert places == {"blank": [0], "dark": [1], "bright": [2], "tiny": [3], "long": [4], "cut off": [5]}


@pytest.mark.parametrize("size", [(100, 100), (120, 90), (90, 200)])
def test_the_share_lost_to_the_crop_is_that_of_the_resized_image(size: tuple[int, int]) -> None:
    image = Image.new("L", size)
    height, width, _ = resized(image, PREPROCESSING).shape
    lost = lost_to_crop(np.array([max(size) / min(size)], np.float32), PREPROCESSING)[0]
    assert lost == pytest.approx(1 - PREPROCESSING.size / max(height, width), abs=0.02)


def test_the_sentence_on_the_crop_counts_images() -> None:
    measures = measure_pixels(source_of(garment(0), garment(1), garment(2, ratio=1.5)), 1)
    assert crop_sentence(measures, PREPROCESSING) == (
        "33 % of your images lose more than a fifth of their longer side to the centre crop. `--fit pad` keeps them whole."
    )
    assert crop_sentence(measure_pixels(source_of(garment(0)), 1), PREPROCESSING) is None


def test_a_size_is_that_in_the_file_whatever_the_format(tmp_path: Path) -> None:
    """Seen to fail: a JPEG, which is decoded at an eighth of its size, passed for a tiny image among PNGs."""
    files = ("0.png", "1.png", "2.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    for name in files:
        Image.new("L", (2520, 2100), 99).save(tmp_path / name, exif=exif)
    part = Part(FolderImages(tmp_path, files), np.zeros((3, 0), np.float32))
    measures = measure_pixels(Source("mixed", (), {"train": part}, task="regression"), 1)
    assert measures.shorter.tolist() == [2100] * 3
    assert measures.ratio.tolist() == pytest.approx([1.2] * 3)
    assert odd_images(measures, PREPROCESSING)[TINY] == []
