from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo_core.data.decode import open_image, with_channels
from zoo_core.errors import DataError


def saved(path: Path, image: Image.Image, **settings: object) -> Image.Image:
    image.save(path, **settings)
    return open_image(path)


def test_what_is_transparent_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((1, 1), (255, 0, 0, 255))
    read = saved(tmp_path / "a.png", image)
    assert (read.mode, read.getpixel((0, 0)), read.getpixel((1, 1))) == ("RGB", (255, 255, 255), (255, 0, 0))


def test_a_palette_with_a_transparent_entry_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 1), 1)
    read = saved(tmp_path / "a.png", image, transparency=0)
    assert (read.getpixel((0, 0)), read.getpixel((1, 1))) == ((255, 255, 255), (200, 100, 50))


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    read = saved(tmp_path / "a.png", Image.fromarray(values))
    assert (read.mode, list(np.asarray(read)[0])) == ("L", [0, 1, 128, 255])


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    assert saved(tmp_path / "a.jpg", image, exif=exif).size == (4, 8)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    assert saved(tmp_path / "a.jpg", Image.new("CMYK", (4, 4))).mode == "RGB"


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_image(tmp_path / "a.gif").convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_grey_and_colour_become_what_the_weights_expect(tmp_path: Path) -> None:
    assert with_channels(Image.new("L", (2, 2), 7), 3).getpixel((0, 0)) == (7, 7, 7)
    assert with_channels(Image.new("RGB", (2, 2), (9, 9, 9)), 1).getpixel((0, 0)) == 9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an image that can be read"),
        (b"hello", "is not an image that can be read"),
        (None, "is damaged or unreadable"),
    ],
)
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.png"
    if content is None:
        Image.effect_noise((64, 64), 50).save(path)
        content = path.read_bytes()[:700]
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_image(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_image_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (10_000, 9_500)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    with pytest.raises(DataError, match="10000 x 9500 pixels, more than 80 million"):
        open_image(tmp_path / "bomb.png")
