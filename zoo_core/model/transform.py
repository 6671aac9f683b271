"""The preprocessing of one image as a callable, for the data loaders of a training loop of one's
own.

Shapes: C channels, S the side of the square image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from zoo_core.data.given import from_pillow
from zoo_core.data.on_device import normalised
from zoo_core.data.transforms import CENTRE, apply_crop, crop_of, decoded_side, resized
from zoo_core.weights_specs import Preprocessing


@dataclass(frozen=True)
class Transform:
    """A PIL image to a normalised float tensor (C, S, S), equal to the one that zoo computes in
    evaluation.

    Callable like a torchvision transform; it can be pickled, so data loaders may use it in their
    processes.
    """

    preprocessing: Preprocessing

    def __call__(self, image: Image.Image) -> Tensor:
        """Resize, crop the centre and normalise. Raises DataError for an image that zoo cannot
        take."""
        small = resized(from_pillow(image, at_least=decoded_side(self.preprocessing)), self.preprocessing)
        crop = crop_of(small, self.preprocessing.size, "none", CENTRE, b"")
        pixels_HWC = torch.tensor(apply_crop(small, crop, self.preprocessing))
        pixels_1CHW = pixels_HWC.permute(2, 0, 1)[None]
        return normalised(pixels_1CHW, self.preprocessing, torch.device("cpu"))[0].contiguous()
