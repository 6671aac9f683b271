"""Groups of images that a device has the memory for."""

from __future__ import annotations

import pytest
import torch

from zoo_core.devices.fitting import Fitting


class Small:
    """A memory for so many images, of groups that are filled up to `fitting.images` or not."""

    def __init__(self, holds: int, fitting: Fitting) -> None:
        self.holds, self.fitting, self.tried = holds, fitting, list[int]()

    def __call__(self, part: torch.Tensor) -> torch.Tensor:
        together = self.fitting.images if self.fitting.fills else len(part)
        self.tried.append(together)
        if together > self.holds:
            raise torch.OutOfMemoryError("no room")
        return part


@pytest.mark.parametrize(
    ("fills", "images", "holds", "tried"),
    [
        (False, 64, 20, [64, 32, 16, 16, 16, 16]),
        (False, 1, 20, [1]),
        (True, 1, 20, [64, 32, 16]),
        (True, 5, 4, [64, 32, 16, 8, 4, 4]),
        (True, 40, 64, [64]),
    ],
)
def test_a_group_is_halved_until_it_fits(fills: bool, images: int, holds: int, tried: list[int]) -> None:
    """Seen to fail: a single image in a group that is filled up ended the run, and few ones made all groups tiny."""
    fitting = Fitting(64, fills=fills)
    small = Small(holds, fitting)
    given = torch.arange(images)
    assert torch.equal(torch.cat(fitting.in_parts(small, given)), given)
    assert small.tried == tried


@pytest.mark.parametrize("fills", [False, True])
def test_where_one_image_has_no_room_the_error_is_raised(fills: bool) -> None:
    fitting = Fitting(4, fills=fills)
    with pytest.raises(torch.OutOfMemoryError):
        fitting.in_parts(Small(0, fitting), torch.arange(3))
