"""Odd images: blurred, blank, dark, bright, tiny, long, and those of which the centre crop shows
little.

Shapes: N images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from zoo_core.checking.pixels import PixelMeasures
from zoo_core.checking.report import BLANK, BLURRED, BRIGHT, CUT_OFF, DARK, LONG, TINY, Kind
from zoo_core.weights_specs import Preprocessing
from zoo_core.wording import percent

Mask = npt.NDArray[np.bool_]
OddImages = dict[Kind, list[tuple[int, float, str]]]
"""The suspects of each kind: the index of the image, its score and the detail."""

SPREADS = 3.0
"""Blur is named beyond so many spreads from the median: of normal values 1 in 700 lies there."""
LEAST_BLUR = 0.5
"""A smaller blur is none to the eye, however sharp all other images are."""
FEWEST_COMPARED = 10  # images, of which a median and a spread say something
CONTRAST = 8 / 255  # between the darkest and the brightest pixels of a blank image
DARK_BELOW, BRIGHT_ABOVE = 40 / 255, 215 / 255
TINY_SHARE = 0.25  # of the median's shorter side
LONG_RATIO = 4.0
LOST = 0.2  # of the longer side: the share that the sentence counts
LOST_MOST = 0.5  # of the longer side: the share that makes an image suspect


def odd_images(measures: PixelMeasures, preprocessing: Preprocessing) -> OddImages:
    """The suspects of each kind, the worst first. An image has one kind of exposure, and one of
    shape."""
    dark, bright = measures.brightest < DARK_BELOW, measures.darkest > BRIGHT_ABOVE
    blank = measures.brightest - measures.darkest < CONTRAST
    blurred = is_blurred(measures.blur, ~blank)
    typical = float(np.median(measures.blur[~blank])) if (~blank).any() else 0.0
    median = float(np.median(measures.shorter))
    tiny, long = measures.shorter < TINY_SHARE * median, measures.ratio >= LONG_RATIO
    lost = lost_to_crop(measures.ratio, preprocessing)
    return {
        BLURRED: _worst(blurred, -measures.blur, lambda i: f"blur {measures.blur[i]:.2f}, median {typical:.2f}"),
        BLANK: _worst(blank, measures.brightest, lambda i: f"luma {255 * measures.brightest[i]:.0f} of 255"),
        DARK: _worst(
            dark & ~blank, measures.brightest, lambda i: f"99 % of it is below luma {255 * measures.brightest[i]:.0f}"
        ),
        BRIGHT: _worst(
            bright & ~blank, -measures.darkest, lambda i: f"99 % of it is above luma {255 * measures.darkest[i]:.0f}"
        ),
        TINY: _worst(tiny, measures.shorter, lambda i: f"{measures.shorter[i]} pixels, median {median:.0f}"),
        LONG: _worst(long, -measures.ratio, lambda i: f"{measures.ratio[i]:.1f} to 1"),
        CUT_OFF: _worst((lost > LOST_MOST) & ~long, -lost, lambda i: f"{percent(float(lost[i]))} of the longer side"),
    }


def is_blurred(blur: npt.NDArray[np.float32], counted: Mask) -> Mask:
    """The images (N) whose blur is far above that of the others, of those that are `counted`.

    Far is SPREADS robust standard deviations, 1.4826 times the median distance from the median:
    studio photos are compared with studio photos, and snapshots with snapshots.
    """
    if counted.sum() < FEWEST_COMPARED:
        return np.zeros(len(blur), dtype=np.bool_)
    middle = np.median(blur[counted])
    spread = 1.4826 * np.median(np.abs(blur[counted] - middle))
    found: Mask = counted & (blur > max(LEAST_BLUR, middle + SPREADS * spread))
    return found


def lost_to_crop(ratio: npt.NDArray[np.float32], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """The share (N) of the longer side that lies outside of the centre crop.

    The shorter side is resized to size / crop pixels and the crop has `size`: 1 - crop / ratio.
    An image that is padded or squeezed loses nothing.
    """
    if preprocessing.fit != "crop":
        return np.zeros_like(ratio)
    return 1 - preprocessing.crop / ratio


def crop_sentence(measures: PixelMeasures, preprocessing: Preprocessing) -> str | None:
    """The share of the images that lose more than a fifth of their longer side; None where none
    does."""
    share = float((lost_to_crop(measures.ratio, preprocessing) > LOST).mean())
    if not share:
        return None
    return (
        f"{percent(share, 0)} of your images lose more than a fifth of their longer side to the centre crop. `--fit pad` "
        "keeps them whole."
    )


def _worst(mask: Mask, order: npt.NDArray[np.generic], detail: Callable[[int], str]) -> list[tuple[int, float, str]]:
    chosen = sorted(np.flatnonzero(mask).tolist(), key=lambda index: (float(order[index]), index))
    return [(index, abs(float(order[index])), detail(index)) for index in chosen]
