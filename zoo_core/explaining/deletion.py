"""The deletion score: whether the places that a heat map names are those that the answer rests on.

Pixels are deleted step by step, the hottest first, and the answer is asked again. Where the map is
right the probability falls at once, and the area under its curve is small (Petsiuk et al. 2018,
"RISE", arXiv 1806.07421). The same map with its cells exchanged by chance shows how small the area
is for any map of this grain.

Shapes: C channels, S side of the image, H and W cells of the map, T steps, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo_core.explaining.maps import enlarged

STEPS = 20
CHANCES = 5  # maps with exchanged cells: the mean of fewer goes up and down
GROUP = 8  # images that are answered at once


@dataclass(frozen=True)
class Deletion:
    """The areas under the curves of the answer's share of its first probability.

    The smaller, the better the map. 1 stands for an answer that stays as it is; one that grows as
    places are deleted has more.
    """

    by_map: float
    by_chance: float
    """The mean over maps whose cells were exchanged by chance."""
    best_by_chance: float
    """The smallest of these areas."""

    @property
    def means_something(self) -> bool:
        """Whether the map finds what the answer rests on, better than any of the maps of chance."""
        return self.by_map < self.best_by_chance


def deletion(image_CSS: Tensor, map_HW: Tensor, value: Callable[[Tensor], Tensor], seed: int = 0) -> Deletion:
    """Delete by a heat map and by maps of chance. `value` maps images (T, C, S, S), which are
    normalised, to the probability (T) of the answer.

    Deleted pixels become 0, the mean colour of the weights' images.
    """
    generator = torch.Generator().manual_seed(seed)
    by_chance = []
    for _ in range(CHANCES):
        order = torch.randperm(map_HW.numel(), generator=generator)
        by_chance.append(_area(image_CSS, map_HW.flatten()[order].view_as(map_HW), value))
    return Deletion(_area(image_CSS, map_HW, value), sum(by_chance) / CHANCES, min(by_chance))


def _area(image_CSS: Tensor, map_HW: Tensor, value: Callable[[Tensor], Tensor]) -> float:
    side = image_CSS.shape[-1]
    ranks = torch.empty(side * side, dtype=torch.long)
    order = enlarged(map_HW, side).flatten().argsort(descending=True, stable=True)
    ranks[order] = torch.arange(side * side)
    kept = [ranks.view(side, side) >= round(share * side * side / STEPS) for share in range(STEPS + 1)]
    masks_TSS = torch.stack(kept).to(image_CSS.device)
    values = torch.cat([value(image_CSS * some[:, None]) for some in torch.split(masks_TSS, GROUP)]).cpu().double()
    first = values[0].abs().clamp_min(1e-12)
    return float(torch.trapezoid(values / first) / STEPS)
