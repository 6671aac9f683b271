"""Heat maps from features and their gradients at one place of a network.

Shapes: C channels, H height and W width in cells of the feature map, N tokens, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt

import torch
from torch import Tensor, nn

from zoo_core.explaining import METHODS
from zoo_core.layout import Layout
from zoo_core.model.assemble import Model
from zoo_core.specs import HEAD


def grad_cam(features_CHW: Tensor, gradients_CHW: Tensor) -> Tensor:
    """relu(sum over c of mean(G_c) * A_c): each channel weighs as its mean gradient (H, W).

    Selvaraju et al. 2017, "Grad-CAM" (arXiv 1610.02391), equations 1 and 2.
    """
    weights_C = gradients_CHW.mean((1, 2))
    return (weights_C[:, None, None] * features_CHW).sum(0).relu()


def hires_cam(features_CHW: Tensor, gradients_CHW: Tensor) -> Tensor:
    """relu(sum over c of G_c * A_c): each cell has its own gradient (H, W).

    Draelos and Carin 2020, "Use HiResCAM instead of Grad-CAM" (arXiv 2011.08891), with the relu of
    Grad-CAM.
    """
    return (gradients_CHW * features_CHW).sum(0).relu()


def layer_cam(features_CHW: Tensor, gradients_CHW: Tensor) -> Tensor:
    """relu(sum over c of relu(G_c) * A_c): only gradients that speak for the answer count (H, W).

    Jiang et al. 2021, "LayerCAM" (IEEE Transactions on Image Processing 30), equations 5 and 6.
    """
    return (gradients_CHW.relu() * features_CHW).sum(0).relu()


FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = dict(
    zip(METHODS, (grad_cam, hires_cam, layer_cam), strict=True)
)


@dataclass(frozen=True)
class StagedNetwork:
    """A network as its stages in order, the head or classifier last, and the layout of its tokens."""

    stages: dict[str, nn.Module]
    layout: Layout

    @property
    def places(self) -> tuple[str, ...]:
        """The stages behind which a heat map may be asked for: all but the head."""
        return tuple(self.stages)[:-1]

    def features_at(self, place: str, images_BCHW: Tensor) -> Tensor:
        """The features behind a stage."""
        features: Tensor = images_BCHW
        with torch.no_grad():
            for name, stage in self.stages.items():
                features = stage(features)
                if name == place:
                    return features
        raise KeyError(place)

    def outputs_from(self, place: str, features: Tensor) -> Tensor:
        """The outputs (B, K) from the features behind a stage."""
        names = list(self.stages)
        features = features.clone()  # the next stage may begin in place
        for name in names[names.index(place) + 1 :]:
            features = self.stages[name](features)
        outputs_BK: Tensor = features
        return outputs_BK

    def cells(self, features: Tensor) -> Tensor:
        """One image's features as a map (C, H, W): patches of tokens (N, C) in their rows and columns."""
        if features.ndim == 3:
            return features
        height, width = self._grid(features)
        patches_NC = features[-height * width :]
        return patches_NC.T.reshape(-1, height, width)

    def has_cells(self, features: Tensor) -> bool:
        """Whether one image's features have more than one cell."""
        if features.ndim == 3:
            return features.shape[1] * features.shape[2] > 1
        return features.ndim == 2 and self._grid(features)[1] > 1

    def _grid(self, tokens_NC: Tensor) -> tuple[int, int]:
        """The rows and columns of patches.

        Some networks put their class token in front of their last blocks only.
        """
        height, width = self.layout.grid(tuple(tokens_NC.shape))
        side = isqrt(len(tokens_NC))
        return (side, side) if width == 1 and side * side == len(tokens_NC) else (height, width)


def staged(model: Model) -> StagedNetwork:
    """The stages of a run's model and its head."""
    stages = {**dict(model.backbone.named_children()), HEAD: model.head}
    return StagedNetwork(stages, model.design.backbone.spec.features)


def heat_map(network: StagedNetwork, place: str, image_1CHW: Tensor, output: int, method: str) -> Tensor:
    """The heat map (H, W) of one output at one place, at least 0, in the cells of the features there.

    Only the part of the network behind the place is computed with gradients.
    """
    features = network.features_at(place, image_1CHW)
    with torch.enable_grad():
        features = features.detach().clone().requires_grad_()
        (gradients,) = torch.autograd.grad(network.outputs_from(place, features)[0, output], features)
    cells = FORMULAS[method](network.cells(features.detach()[0]), network.cells(gradients[0]))
    return cells.float().cpu()


def last_place(network: StagedNetwork, image_1CHW: Tensor, output: int, method: str) -> str | None:
    """The last place whose heat map is not zero everywhere, None where there is none.

    A head on the class token has no gradient at the patches that stand beside it.
    """
    for place in reversed(network.places):
        features = network.features_at(place, image_1CHW)
        if network.has_cells(features[0]) and heat_map(network, place, image_1CHW, output, method).any():
            return place
    return None


def enlarged(map_HW: Tensor, size: int) -> Tensor:
    """A heat map as (size, size) by bilinear interpolation, its highest value 1; a map of zeros stays one."""
    highest = map_HW.max()
    shares = map_HW / highest if highest > 0 else map_HW
    shares_11SS = nn.functional.interpolate(shares[None, None], size=(size, size), mode="bilinear", align_corners=False)
    return shares_11SS[0, 0]
