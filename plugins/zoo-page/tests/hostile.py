"""Files that are no photos, or odd ones, by name."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def bomb(side):
    """A PNG of one bit a pixel: a few kilobytes of black."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packed, line = zlib.compressobj(9), b"\0" * (side // 8 + 1)
    content = b"".join(packed.compress(line) for _ in range(side)) + packed.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def saved(image, kind, **given):
    stream = io.BytesIO()
    image.save(stream, kind, **given)
    return stream.getvalue()


def photo():
    coarse = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((90, 108), Image.Resampling.BICUBIC)


def refused():
    """Files that get a reason and no answer."""
    return {
        "truncated.jpg": saved(photo(), "JPEG")[:1000],
        "cut.png": saved(photo(), "PNG")[:400],
        "empty.jpg": b"",
        "bomb.png": bomb(9760),
        "text.jpg": b"no image",
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><rect width="40" height="40"/></svg>',
        "float.tif": saved(Image.fromarray(np.full((20, 20), 0.5, np.float32)), "TIFF"),
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40,
    }


def answered():
    """Odd photos that are read by a rule."""
    image = photo()
    exif, clear = Image.Exif(), image.convert("RGBA")
    clear.putalpha(128)
    turned = {}
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        turned[f"turned{orientation}.webp"] = saved(image, "WEBP", exif=exif, lossless=True)
    exif[0x0112] = 6
    deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return {
        "print.jpg": saved(image.convert("CMYK"), "JPEG"),
        "palette.png": saved(image.convert("P"), "PNG", transparency=0),
        "animated.gif": saved(image, "GIF", save_all=True, append_images=[image.rotate(90)] * 3),
        "turned.jpg": saved(image, "JPEG", exif=exif),
        **turned,
        "deep.png": saved(deep, "PNG"),
        "clear.png": saved(clear, "PNG"),
        "long.png": saved(Image.new("RGB", (4000, 1)), "PNG"),
    }
