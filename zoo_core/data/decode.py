"""Image files in the one form that zoo works with: 8-bit RGB or greyscale, upright.

The rules: the EXIF orientation is applied; 16-bit greyscale is scaled to 8 bits, and of 16-bit colour
the high byte counts; transparent pixels are laid on white; the first frame of an animation counts;
CMYK and palettes become RGB, and colour profiles are not applied. Numbers without a known range
(32-bit and floating-point pixels) are refused. The bytes of a file decide its format, whatever its
name ends in, and the format must be one of FORMATS.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import stat
import threading
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import PIL
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from zoo_core.discovery import CORE
from zoo_core.errors import DataError, printable
from zoo_core.installing import install_hint

READS_AVIF = importlib.util.find_spec("PIL._avif") is not None  # Pillow 11.3 brings it
READS_HEIC = importlib.util.find_spec("pillow_heif") is not None
FORMATS = (  # some of Pillow's others start external programs
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"),
    *(("AVIF",) if READS_AVIF else ()),
    *(("HEIF",) if READS_HEIC else ()),
)
READER = f"4/{PIL.__version__}"  # grows with the rules of this module; another Pillow may read other files
REFUSALS = 1  # grows where a file that was read is refused from then on
INSPECTION = f"{READER}/{REFUSALS}/{' '.join(FORMATS)}"  # the key of an inspection's findings
HEIC_ENDINGS = {".heic", ".heif", ".hif"}
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
IMAGE_ENDINGS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"),
    *((".avif",) if READS_AVIF else ()),
    *(HEIC_ENDINGS if READS_HEIC else ()),
}
"""The endings, in small letters, of files that count as images in folders and archives."""
WHOLE_SIZE = "zoo whole size"  # the key in Pillow's `info` under which the size in the file stands
MAX_PIXELS = 80_000_000  # an 8-bit RGB image of this size takes 240 MB
MAX_BYTES = 2**30  # 80 million uncompressed 16-bit RGBA pixels take 640 MB

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Pillow writes to the screen; our error says it all


class _Quiet:
    """Drops Pillow's warnings while any thread decodes: this module checks or tolerates their causes.

    A catch_warnings in each thread would not do: each restores the filters that it found, which may
    be another thread's, and all warnings of the process would be ignored from then on.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads = 0

    def __enter__(self) -> None:
        with self.lock:
            if self.threads == 0:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.filterwarnings("ignore", module="PIL")
            self.threads += 1

    def __exit__(self, *failure: object) -> None:
        with self.lock:
            self.threads -= 1
            if self.threads == 0:
                self.filters.__exit__(None, None, None)


PILLOW_IS_QUIET = _Quiet()


def open_image(path: Path, *, at_least: int | None = None) -> Image.Image:
    """Read a whole file and return the image upright, in mode RGB or L.

    With `at_least`, a JPEG may be decoded at a half, a quarter or an eighth of its size, as long as
    both sides keep this many pixels: several times faster for large photos.

    Raises DataError naming the file when it is missing, unreadable, truncated or beyond the limits.
    """
    try:
        return decode(read_file(path), at_least=at_least)
    except DataError as error:
        raise DataError(f"{printable(str(path))} {error}.") from error.__cause__


def read_file(path: Path) -> bytes:
    """The bytes of a regular file. Raises DataError whose text continues after the file's name."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise DataError("is not a file")
        if facts.st_size > MAX_BYTES:
            raise DataError(f"has {facts.st_size:,} bytes, more than {MAX_BYTES:,}. Make it smaller")
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError("is not there") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        raise DataError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error


def decode(content: bytes, *, at_least: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode the bytes of an image file: upright, in mode RGB or L, reduced as in `open_image`.

    Raises DataError whose text continues after the file's name.
    """
    if not content:
        raise DataError("is empty")
    try:
        _register_heic()
        with PILLOW_IS_QUIET, Image.open(io.BytesIO(content), formats=FORMATS) as image:
            check_size(image, max_pixels)
            whole = image.size
            if at_least is not None and image.format == "JPEG":
                image.draft(image.mode, (at_least, at_least))
            image.load()
            made = upright(image)
            made.info[WHOLE_SIZE] = whole
            return made
    except DataError:
        raise
    except MemoryError:  # of this machine, not of the file
        raise
    except UnidentifiedImageError:
        if content[4:8] == b"ftyp" and content[8:12] in HEIC_BRANDS and not READS_HEIC:
            raise DataError(f"is a HEIC image. {_heic_hint()} lets zoo read it") from None
        raise DataError(f"is not an image that can be read ({', '.join(FORMATS)})") from None
    except Exception as error:  # damaged files make Pillow raise nearly anything
        reason = printable(" ".join(str(error).split()))[:200]
        raise DataError(f"is damaged or unreadable: {reason or type(error).__name__}") from error


def sides_in_file(image: Image.Image) -> tuple[int, int]:
    """The shorter and the longer side in pixels, before any reduction, of an image that `decode`
    gave."""
    shorter, longer = sorted(image.info.get(WHOLE_SIZE, image.size))
    return shorter, longer


@cache
def _register_heic() -> None:
    if READS_HEIC:
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)


def unread_kind(ending: str) -> str:
    """The words for files of an ending that is not read, with a way to read them where there is
    one."""
    if ending in HEIC_ENDINGS:
        return f"*{ending}, which need {_heic_hint()}"
    return f"*{ending}"


def _heic_hint() -> str:
    return install_hint(CORE, extra="heic")


def check_image(content: bytes) -> None:
    """Raise DataError, as `decode` does, for bytes that cannot be decoded.

    A JPEG is decoded at an eighth of its size: every byte is read, in half the time or less.
    """
    decode(content, at_least=1)


def check_size(image: Image.Image, max_pixels: int = MAX_PIXELS) -> None:
    """Raise DataError when an image has no pixels or too many."""
    width, height = image.size
    if width * height == 0:
        raise DataError("has no pixels")
    if width * height > max_pixels:
        limit = f"{max_pixels // 10**6} million" if max_pixels >= 10**6 else f"{max_pixels:,}"
        raise DataError(f"has {width} x {height} pixels, more than {limit}. Make it smaller")


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation and the rules for modes."""
    image.load()
    has_32_bits = image.format == "TIFF" and 32 in getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, ())
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # else Pillow would copy all pixels
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        given = np.asarray(image)
        if has_32_bits or given.min() < 0 or given.max() > 65535:
            raise DataError("has 32-bit values, whose range is not known. Save it with 8 or 16 bits")
        values = given.astype(np.uint32)
        values += 128
        values //= 257  # whole numbers, in place: otherwise a large image takes gigabytes
        return Image.fromarray(values.astype(np.uint8))
    if image.mode == "F":
        raise DataError("has floating-point values, whose range is not known. Save it with 8 or 16 bits")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, (255, 255, 255, 255))
        flat = Image.alpha_composite(white, coloured).convert("RGB")
        return flat.convert("L") if image.mode in ("LA", "La", "L", "1") else flat
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """Convert to greyscale (1) or RGB (3); grey is the ITU-R 601-2 luma of RGB."""
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)
