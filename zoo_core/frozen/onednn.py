"""Linear layers and convolutions of a frozen prefix, computed by oneDNN on a CPU; those of 3 x 3 as
`zoo_core.tiles` has them.

torch takes linear layers from MKL always, 1 x 1 convolutions from it in one thread with few images.
On an AMD processor with AVX-512 oneDNN is more than twice as fast as MKL, and held to AVX2 as fast.
The results differ in the last bits of float32, as sums are added up in another order.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from zoo_core.attribution import mark_owner, marked_owner
from zoo_core.tiles.frozen import WinogradConvolution, suits
from zoo_core.tiles.products import has_onednn, in_float32_on_cpu


class OneDnnLinear(nn.Linear):
    """A linear layer that oneDNN computes where it can: in float32 on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        if not in_float32_on_cpu(input, self.weight):
            return super().forward(input)
        output: Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")
        return output


class OneDnnPointwise(nn.Conv2d):
    """A 1 x 1 convolution that oneDNN computes where it can: in float32 on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 4 or not in_float32_on_cpu(input, self.weight):
            return super().forward(input)
        output: Tensor = torch.ops.mkldnn._convolution_pointwise(
            input, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups, "none", [], ""
        )
        return output


def by_onednn(stage: nn.Module, *, tiles: bool = True) -> nn.Module:
    """The stage for evaluation, with such layers by oneDNN, and with `tiles` those that they suit;
    its parameters and buffers are those of `stage`, which stays unchanged.

    A stage that cannot be copied, or has no such layer, is returned itself.
    """
    if not has_onednn() or not any(_class_for(module, tiles=tiles) for module in stage.modules()):
        return stage
    try:
        quick = copy.deepcopy(stage, {id(tensor): tensor for tensor in (*stage.parameters(), *stage.buffers())})
    except Exception:  # copying runs the stage's own code, which may do anything
        return stage
    mark_owner(quick, marked_owner(stage))  # the copy of a graph has lost it
    for module in quick.modules():
        kind = _class_for(module, tiles=tiles)
        if kind is not None:
            module.__class__ = kind
            mark_owner(module, marked_owner(stage))
        if isinstance(module, WinogradConvolution):
            module.prepare()
    return quick.eval()


def _class_for(module: nn.Module, *, tiles: bool) -> type[nn.Module] | None:
    """The class that computes what a module does by oneDNN; None where there is none."""
    if type(module) is nn.Linear:
        return OneDnnLinear
    if type(module) is nn.Conv2d and module.kernel_size == (1, 1) and module.padding == (0, 0):
        return OneDnnPointwise
    if tiles and suits(module):
        return WinogradConvolution
    return None
