"""Every rule of decode.py for what an image file may hold, on real files, with exact pixels (row 26 of docs/reliability.md).

Seen to fail without their guards: without the orientation the marked corner stayed where it was stored; without the
scaling Pillow clipped 16 bits to white; without the white ground what is transparent came out black or in a colour
that nobody saw; without the refusal of floating-point values an image of values from 0 to 1 was black.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo_core.data.decode import open_image
from zoo_core.data.given import to_image
from zoo_core.errors import DataError

ROTATED = Image.Exif()
ROTATED[0x0112] = 6
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(path: Path, image: Image.Image, **settings: object) -> Image.Image:
    image.save(path, **settings)
    return open_image(path)


def pixels(image: Image.Image) -> list[object]:
    return np.asarray(image).tolist()


@pytest.mark.parametrize(
    ("orientation", "corner"),  # where the pixel that is stored at the upper left belongs, in (4, 8) or (8, 4)
    [
        (1, (0, 0)),
        (2, (7, 0)),
        (3, (7, 3)),
        (4, (0, 3)),
        (5, (0, 0)),
        (6, (3, 0)),
        (7, (3, 7)),
        (8, (0, 7)),
    ],
)
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_the_exif_orientation_is_applied(tmp_path: Path, orientation: int, corner: tuple[int, int], kind: str) -> None:
    image = Image.new("RGB", (8, 4), WHITE)
    image.putpixel((0, 0), RED)
    exif = Image.Exif()
    exif[0x0112] = orientation
    read = saved(tmp_path / f"a.{kind}", image, exif=exif, **({"lossless": True} if kind == "webp" else {}))
    assert read.size == ((8, 4) if orientation < 5 else (4, 8))
    assert {place: read.getpixel(place) for place in [corner]} == {corner: RED}
    assert sum(read.getpixel((x, y)) == RED for x in range(read.width) for y in range(read.height)) == 1


@pytest.mark.parametrize("exif", [None, 1], ids=["no exif", "upright"])
def test_the_pixels_of_an_upright_image_are_not_copied(
    tmp_path: Path, exif: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: Pillow copies a photo that is upright already, a fifth of the time of reading it."""
    facts = Image.Exif()
    if exif is not None:
        facts[0x0112] = exif
    image = Image.new("RGB", (8, 4), RED)
    image.save(tmp_path / "a.jpg", exif=facts)
    monkeypatch.setattr(Image.Image, "copy", lambda image: pytest.fail("the pixels were copied"))
    assert open_image(tmp_path / "a.jpg").size == (8, 4)


def test_the_orientation_of_a_jpeg_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 16), WHITE)
    image.paste(BLUE, (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side: what is left belongs on top
    read = saved(tmp_path / "a.jpg", image, exif=exif, quality=100, subsampling=0)
    assert read.size == (16, 32)
    assert np.abs(np.asarray(read)[:16].astype(int) - BLUE).max() <= 2
    assert np.abs(np.asarray(read)[16:].astype(int) - WHITE).max() <= 2


def test_what_is_transparent_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 128))
    read = saved(tmp_path / "a.png", image)
    assert (read.mode, pixels(read)) == ("RGB", [[list(WHITE), list(RED), [127, 127, 127]]])


def test_grey_with_transparency_stays_grey_on_white(tmp_path: Path) -> None:
    image = Image.new("LA", (3, 1), (10, 255))
    image.putpixel((1, 0), (10, 0))
    image.putpixel((2, 0), (0, 128))
    read = saved(tmp_path / "a.png", image)
    assert (read.mode, pixels(read)) == ("L", [[10, 255, 127]])


def test_a_palette_becomes_rgb_and_its_transparent_entry_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert pixels(saved(tmp_path / "a.png", image)) == [[[10, 20, 30], [200, 100, 50]]]
    assert pixels(saved(tmp_path / "b.png", image, transparency=0)) == [[list(WHITE), [200, 100, 50]]]
    assert pixels(saved(tmp_path / "c.gif", image, transparency=0)) == [[list(WHITE), [200, 100, 50]]]


def test_one_colour_that_stands_for_transparent_is_white(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), GREEN)
    assert pixels(saved(tmp_path / "a.png", image, transparency=(1, 2, 3))) == [[list(WHITE), list(GREEN)]]
    grey = Image.fromarray(np.array([[5, 9]], dtype=np.uint8))
    read = saved(tmp_path / "b.png", grey, transparency=5)
    assert (read.mode, pixels(read)) == ("L", [[255, 9]])


@pytest.mark.parametrize("kind", ["gif", "png", "webp"])
def test_of_an_animation_the_first_frame_counts(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    settings = {"lossless": True} if kind == "webp" else {}
    frames[0].save(tmp_path / f"a.{kind}", save_all=True, append_images=frames[1:], **settings)
    with Image.open(tmp_path / f"a.{kind}") as file:
        assert getattr(file, "n_frames", 1) == 2
    assert np.unique(np.asarray(open_image(tmp_path / f"a.{kind}").convert("RGB")).reshape(-1, 3), axis=0).tolist() == [
        list(RED)
    ]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))  # cyan alone
    exact = saved(tmp_path / "a.tiff", image)
    assert (exact.mode, exact.getpixel((0, 0))) == ("RGB", (0, 255, 255))
    read = saved(tmp_path / "a.jpg", image, quality=100)
    assert read.mode == "RGB"
    assert np.abs(np.asarray(read).astype(int) - (0, 255, 255)).max() <= 2


@pytest.mark.parametrize("kind", ["png", "tiff", "pgm"])
def test_sixteen_bits_of_grey_are_scaled_to_eight(tmp_path: Path, kind: str) -> None:
    values = np.array([[0, 128, 129, 257, 32896, 65535]], dtype=np.uint16)  # 257 a step: 128 is 0.498, 129 is 0.502
    read = saved(tmp_path / f"a.{kind}", Image.fromarray(values))
    assert (read.mode, pixels(read)) == ("L", [[0, 0, 1, 1, 128, 255]])


def test_big_endian_sixteen_bits_are_scaled_too(tmp_path: Path) -> None:
    image = Image.frombytes("I;16B", (2, 1), struct.pack(">HH", 257, 65535))
    assert pixels(saved(tmp_path / "a.tiff", image)) == [[1, 255]]


def test_of_sixteen_bits_of_colour_the_high_byte_counts(tmp_path: Path) -> None:
    """Pillow cannot write such a file, so this one is put together from its chunks."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + struct.pack(">6H", 0x00FF, 0x0100, 0xFFFF, 0x8000, 0x7FFF, 0x1234)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    assert pixels(open_image(tmp_path / "a.png")) == [[[0x00, 0x01, 0xFF], [0x80, 0x7F, 0x12]]]


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    for kind in ("png", "tiff", "bmp"):
        read = saved(tmp_path / f"a.{kind}", image)
        assert (kind, read.mode, pixels(read)) == (kind, "L", [[0, 255]])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), "has floating-point values, whose range is not known"),
        (np.array([[0, 70_000]], dtype=np.int32), "has 32-bit values, whose range is not known"),
        (np.array([[0, -1]], dtype=np.int32), "has 32-bit values, whose range is not known"),
    ],
)
def test_numbers_without_a_known_range_are_refused(tmp_path: Path, values: np.ndarray, message: str) -> None:
    with pytest.raises(DataError) as caught:
        saved(tmp_path / "a.tiff", Image.fromarray(values))
    assert f"{tmp_path}/a.tiff {message}. Save it with 8 or 16 bits." == str(caught.value)


@pytest.mark.parametrize(
    "settings", [{}, {"exif": ROTATED}, {"compression": "tiff_lzw"}], ids=["plain", "turned", "lzw"]
)
def test_32_bits_are_refused_also_where_16_could_hold_the_values(tmp_path: Path, settings: dict[str, object]) -> None:
    """Seen to fail: an image of values from 0 to 255 was black."""
    image = Image.fromarray(np.arange(256, dtype=np.int32).reshape(16, 16))
    with pytest.raises(DataError, match="has 32-bit values, whose range is not known. Save it with 8 or 16 bits"):
        saved(tmp_path / "a.tiff", image, **settings)
    with Image.open(tmp_path / "a.tiff") as opened, pytest.raises(DataError, match="has 32-bit values"):
        to_image(opened)
