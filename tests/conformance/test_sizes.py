"""The sizes of images that a network takes, as `image_sizes` finds them for a spec."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from zoo_core import Chain, Layout
from zoo_core.testing import ImageSizes, image_sizes


class Positions(nn.Module):
    """Adds positions to a map of one size."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(4, side, side))

    def forward(self, map_BCHW: Tensor) -> Tensor:
        return map_BCHW + self.positions


class Patches(nn.Module):
    """Maps images to a class token and patches of 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, 4, 8, 8)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        assert images_BCHW.shape[2] % 8 == 0
        tokens_BNC = self.projection(images_BCHW).flatten(2).transpose(1, 2)
        return torch.cat([tokens_BNC[:, :1], tokens_BNC], 1)


@pytest.mark.parametrize(
    ("stem", "size", "layout", "expected"),
    [
        (nn.Conv2d(3, 4, 3, 4, padding=1), 32, Layout(), ImageSizes(stride=4, size_step=1, min_size=4)),
        (nn.Conv2d(3, 4, 3, 32, padding=1), 528, Layout(), ImageSizes(stride=32, size_step=1, min_size=32)),
        (nn.Conv2d(3, 4, 11, 4), 32, Layout(), ImageSizes(stride=4, size_step=1, min_size=11)),
        (
            nn.Sequential(nn.Conv2d(3, 4, 4, 4), Positions(8)),
            32,
            Layout(),
            ImageSizes(stride=4, size_step=None, min_size=32),
        ),
        (Patches(), 32, Layout("tokens", prefix=1), ImageSizes(stride=8, size_step=8, min_size=8)),
    ],
    ids=["padded", "a part of a cell", "unpadded", "positions", "patches"],
)
def test_sizes_are_found_by_trying_them(stem: nn.Module, size: int, layout: Layout, expected: ImageSizes) -> None:
    base = Chain({"stem": stem}).to("meta").eval()
    assert image_sizes(base, layout, 4, size) == expected


def test_features_of_another_layout_are_an_error() -> None:
    base = Chain({"stem": nn.Conv2d(3, 4, 3)}).to("meta").eval()
    with pytest.raises(ValueError, match="does not put out tokens without a class token of 4 channels"):
        image_sizes(base, Layout("tokens"), 4, 32)
