"""Images through the decoder: each format, and odd EXIF."""

from __future__ import annotations

import io
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fuzz.mutations import damaged, damaged_png
from fuzz.target import Case, expect, target
from zoo_core.data.decode import MAX_PIXELS, READS_AVIF, decode

SIDES = (32, 24)  # of the good images, in pixels
ORIENTATIONS = range(1, 9)


def check_image(content: bytes) -> None:
    """A decoded image has one of the two modes, and pixels within the limit."""
    image = decode(content)
    expect(image.mode in ("L", "RGB"), f"an image of mode {image.mode}")
    expect(0 < image.width * image.height <= MAX_PIXELS, f"an image of {image.size} pixels")
    image.getextrema()


def make(kind: str, folder: Path) -> Case:
    return Case(good_images()[kind], check_image, damaged_png if kind == "PNG" else damaged)


KINDS = ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM", *(("AVIF",) if READS_AVIF else ()))
for kind in KINDS:
    # 80 million pixels, which a header of a few bytes may state, take 240 MB and some copies.
    target(kind, weight=1 if kind == "TIFF" else 2, seconds=30, mebibytes=3000)(partial(make, kind))


@target("EXIF", weight=2)
def exif(folder: Path) -> Case:
    """A damaged EXIF block, with an orientation or without, changes nothing but the orientation."""
    colour = _colour()
    whole = {kind: _encoded(colour, kind, b"") for kind in ("JPEG", "PNG", "WEBP")}
    turned = {kind: [_turned(decode(content), number) for number in ORIENTATIONS] for kind, content in whole.items()}

    def check(block: bytes) -> None:
        kind = list(turned)[len(block) % len(turned)]
        image = decode(_encoded(colour, kind, block))
        expect(image.mode == "RGB" and image.tobytes() in turned[kind], f"other pixels of a {kind} with another EXIF")

    return Case(tuple(_exif_block(number) for number in (1, 3, 6, 8)), check)


def _encoded(image: Image.Image, kind: str, block: bytes) -> bytes:
    exif = {"exif": b"Exif\0\0" + block[:60_000]} if block else {}
    return saved(image, kind, **({"lossless": True} if kind == "WEBP" else {}), **exif)


def _exif_block(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x011A] = orientation, "a description", 72.0
    exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
    return exif.tobytes().removeprefix(b"Exif\0\0")


def _turned(image: Image.Image, orientation: int) -> bytes:
    method = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    return (image if method is None else image.transpose(method)).tobytes()


def _colour() -> Image.Image:
    generator = np.random.default_rng(0)
    return Image.fromarray(generator.integers(0, 255, (SIDES[1], SIDES[0], 3), dtype=np.uint8))


@cache
def good_images() -> dict[str, tuple[bytes, ...]]:
    """Small files of each format: colour, grey, palettes, transparency, animation, orientation, 16 bits."""
    generator = np.random.default_rng(1)
    colour = _colour()
    clear = colour.convert("RGBA")
    clear.putalpha(colour.convert("L"))
    grey, palette, line = colour.convert("L"), colour.quantize(16), colour.convert("1")
    deep = Image.fromarray(generator.integers(0, 65535, (SIDES[1], SIDES[0]), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    film: dict[str, Any] = {"save_all": True, "append_images": [colour.rotate(90), colour.rotate(180)]}
    found = {
        "JPEG": (
            saved(colour, "JPEG", exif=exif),
            saved(colour, "JPEG", progressive=True, comment=b"x"),
            saved(grey, "JPEG"),
            saved(colour.convert("CMYK"), "JPEG"),
        ),
        "PNG": (
            *(saved(image, "PNG") for image in (colour, clear, grey, line, deep)),
            saved(palette, "PNG", transparency=3),
            saved(colour, "PNG", exif=exif, **film),
        ),
        "GIF": (saved(palette, "GIF", transparency=2), saved(colour, "GIF", loop=0, **film)),
        "TIFF": (
            *(saved(image, "TIFF", exif=exif) for image in (colour, clear, deep, line)),
            *(saved(colour, "TIFF", compression=kind) for kind in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")),
            saved(line, "TIFF", compression="group4"),
            saved(colour, "TIFF", **film),
        ),
        "WEBP": (
            *(saved(image, "WEBP") for image in (colour, clear)),
            saved(colour, "WEBP", lossless=True, exif=exif),
            saved(colour, "WEBP", **film),
        ),
        "BMP": tuple(saved(image, "BMP") for image in (colour, grey, palette, line)),
        "PPM": (*(saved(image, "PPM") for image in (colour, grey, line, deep)), b"P3\n2 1\n255\n1 2 3\n4 5 6\n"),
    }
    return found | ({"AVIF": (saved(colour, "AVIF", exif=exif), saved(clear, "AVIF"))} if READS_AVIF else {})


def saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()
