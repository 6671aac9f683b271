"""Measures of every image that need no network: its shape, exposure, blur, and a thumbnail.

Shapes: N images, H height, W width, S side of a thumbnail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo_core.checking.colours import Colours, colours_of
from zoo_core.data.decode import sides_in_file
from zoo_core.data.scan import Watch
from zoo_core.data.sources import Images, Part, Source

Floats = npt.NDArray[np.float32]

MEASURED_SIDE = 256
"""Pixels of the shorter side at which larger images are measured: about as large as networks see
them, so that a photo of 12 megapixels is not blurred for its noise."""
THUMBNAIL = 64
"""Pixels of a side of the thumbnails that are compared, in which folds and prints can be seen: 4 kB
an image."""
BLUR_TAPS = 9  # of the filter that blurs again, as in the paper
DARK_END, BRIGHT_END = 1, 99  # percentiles: a spot of a hundredth of the image is no sign of light


@dataclass(frozen=True)
class PixelMeasures:
    """Measures of N images, part after part in the order of the source."""

    shorter: npt.NDArray[np.int64]
    """(N) the shorter side in pixels, as the file has it."""
    ratio: Floats
    """(N) longer side by shorter side, at least 1."""
    darkest: Floats
    """(N) luma, 0 to 1, below which a hundredth of the pixels lies."""
    brightest: Floats
    """(N) luma, 0 to 1, above which a hundredth of the pixels lies."""
    blur: Floats
    """(N) see `blur_of`."""
    thumbnails: npt.NDArray[np.uint8]
    """(N, S, S) luma of the whole image, squeezed into a square."""
    colours: Colours
    """(N, S, S, 3) see `colours_of`."""


def measure_pixels(source: Source, workers: int, watch: Watch | None = None) -> PixelMeasures:
    """Measure all images of a source. `watch` is told (images done, of how many).

    Raises DataError for an image that changed since it was scanned.
    """
    listed = list(_images(source.parts.values()))
    rows = []
    with ThreadPoolExecutor(workers, thread_name_prefix="zoo-check") as pool:
        try:
            for row in pool.map(lambda one: _measure(*one), listed):
                rows.append(row)
                if watch:
                    watch(len(rows), len(listed))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    shorter, numbers, thumbnails, colours = zip(*rows, strict=True)
    ratio, darkest, brightest, blur = np.asarray(numbers, dtype=np.float32).T
    return PixelMeasures(np.asarray(shorter), ratio, darkest, brightest, blur, np.stack(thumbnails), np.stack(colours))


def _images(parts: Iterable[Part]) -> Iterator[tuple[Images, int]]:
    return ((part.images, index) for part in parts for index in range(len(part)))


def _measure(images: Images, index: int) -> tuple[int, tuple[float, ...], npt.NDArray[np.uint8], Colours]:
    image = images.read(index, at_least=MEASURED_SIDE)
    shorter, longer = sides_in_file(image)
    colours = colours_of(image)
    image = _reduced(image.convert("L"))
    luma_HW: Floats = np.asarray(image, dtype=np.float32) / np.float32(255)
    darkest, brightest = np.percentile(luma_HW, (DARK_END, BRIGHT_END))
    thumbnail = np.asarray(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))
    return shorter, (longer / shorter, float(darkest), float(brightest), blur_of(luma_HW)), thumbnail, colours


def _reduced(image: Image.Image) -> Image.Image:
    """The image with a shorter side of at most MEASURED_SIDE; of a very long one the middle, whose
    ends would take memory without bounds."""
    shorter = min(image.size)
    box = [min(length, 4 * shorter) for length in image.size]  # 4: longer ones are named for their shape
    left, top = ((length - kept) // 2 for length, kept in zip(image.size, box, strict=True))
    if tuple(box) != image.size:
        image = image.crop((left, top, left + box[0], top + box[1]))
    if shorter <= MEASURED_SIDE:
        return image
    size = [max(1, round(length * MEASURED_SIDE / shorter)) for length in image.size]
    return image.resize((size[0], size[1]), Image.Resampling.BOX)


def blur_of(luma_HW: Floats) -> float:
    """The blur of an image, from 0 (every edge is sharp) to 1 (no edge is lost by blurring it
    again).

    b = 1 - sum max(0, |F'| - |B'|) / sum |F'|, where F' are the differences of neighbouring pixels
    and B' those after a box filter of 9 pixels, along rows and along columns; the larger of both.
    Edges decide and not areas, so a smooth studio background does not count as blur (Crete,
    Dolmiere, Ladret, Nicolas, "The blur effect", SPIE 6492, 2007). 0 for an image without edges.
    """
    return max(_blur_along(luma_HW), _blur_along(luma_HW.T))


def _blur_along(luma_HW: Floats) -> float:
    """The blur along the first axis; 0 where it is too short or has no edges."""
    if len(luma_HW) <= BLUR_TAPS:
        return 0.0
    padded = np.pad(luma_HW, ((BLUR_TAPS // 2 + 1, BLUR_TAPS // 2), (0, 0)), mode="edge")
    sums = np.cumsum(padded, axis=0, dtype=np.float64)
    again = (sums[BLUR_TAPS:] - sums[:-BLUR_TAPS]) / BLUR_TAPS
    before, after = (np.abs(np.diff(one, axis=0)) for one in (luma_HW, again))
    total = float(before.sum())
    return 1 - float(np.maximum(before - after, 0).sum()) / total if total > 1e-6 else 0.0
