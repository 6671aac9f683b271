"""Small images inside a page, and heat maps over them.

Shapes: C channels, S side of an image as the network sees it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image

from zoo_core.catalog import Catalog
from zoo_core.data.batches import Batches
from zoo_core.data.on_device import normalised
from zoo_core.data.sources import Part
from zoo_core.errors import DataError
from zoo_core.explaining import METHODS
from zoo_core.explaining.explain import Explainer, Explanation, open_explainer
from zoo_core.explaining.maps import heat_map, last_place
from zoo_core.explaining.picture import overlaid
from zoo_core.reporting.gather import Measured

SIDE = 144  # pixels of the longer side: about 5 kB
TINY = 40  # of the map of features: about 1 kB
QUALITY = 78


def thumbnail(part: Part, index: int, side: int = SIDE) -> str | None:
    """An image of a part as base64 JPEG; None where its file is gone."""
    try:
        image = part.images.read(index, at_least=2 * side).convert("RGB")
    except DataError:
        return None
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    return encoded(image)


def encoded(image: Image.Image) -> str:
    """An RGB image as base64 JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=QUALITY)
    return base64.b64encode(stream.getvalue()).decode()


class HeatMaps:
    """The places in images that speak for an output, drawn over the images as the network sees
    them."""

    def __init__(self, measured: Measured, catalog: Catalog) -> None:
        self.explainer: Explainer = open_explainer(measured.directory, catalog, device=str(measured.predictor.device))

    def of(self, part: Part, chosen: Sequence[int], outputs: Sequence[int]) -> Iterator[str | None]:
        """A base64 JPEG for each chosen image and its output; None where nothing speaks for it."""
        predictor, network = self.explainer.predictor, self.explainer.network
        batches = Batches(part.take(chosen), predictor.preprocessing, 1, 1)
        for (pixels_1CSS, _), output in zip(batches.in_order(), outputs, strict=True):
            image_1CSS = normalised(pixels_1CSS, predictor.preprocessing, predictor.device)
            place = last_place(network, image_1CSS, output, METHODS[0])
            if place is None:
                yield None
                continue
            cells_HW = heat_map(network, place, image_1CSS, output, METHODS[0])
            yield _drawn(pixels_1CSS[0], cells_HW, place)


def _drawn(pixels_CSS: torch.Tensor, cells_HW: torch.Tensor, place: str) -> str:
    pixels_SSC = pixels_CSS.permute(1, 2, 0).numpy()
    seen = np.repeat(pixels_SSC, 3, 2) if pixels_SSC.shape[2] == 1 else pixels_SSC
    image = Image.fromarray(
        overlaid(Explanation("", seen, name="", value=0.0, text="", at=place, cells_HW=cells_HW.numpy(), deletion=None))
    )
    image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    return encoded(image)
