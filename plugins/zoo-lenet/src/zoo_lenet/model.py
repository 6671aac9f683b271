"""LeNet-5 as a chain of stages, after LeCun, Bottou, Bengio and Haffner 1998.

Stages have the paper's names of their convolutions: C1 with its subsampling S2, C3 with S4, C5; F6 and the output are
the classifier. Two things are simpler than in the paper: each map of C3 sees all maps of S2, where the paper connects
some by a table, and subsampling is the mean of four pixels, without a trained coefficient and bias.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from zoo_core import CLASSIFIER, Chain, NoOptions


def lenet5(options: NoOptions) -> Chain:
    """Build LeNet-5: (B, 1, 32, 32) to (B, 120, 1, 1) at the end of the conv base, to (B, 10) with the classifier."""
    return Chain(
        {
            "c1": _convolution(1, 6, subsampling="s2"),
            "c3": _convolution(6, 16, subsampling="s4"),
            "c5": _convolution(16, 120),
            CLASSIFIER: nn.Sequential(
                OrderedDict(flatten=nn.Flatten(), f6=nn.Linear(120, 84), tanh=nn.Tanh(), output=nn.Linear(84, 10))
            ),
        }
    )


def _convolution(in_channels: int, out_channels: int, *, subsampling: str | None = None) -> nn.Sequential:
    layers: dict[str, nn.Module] = {"conv": nn.Conv2d(in_channels, out_channels, kernel_size=5), "tanh": nn.Tanh()}
    if subsampling is not None:
        layers[subsampling] = nn.AvgPool2d(2)
    return nn.Sequential(OrderedDict(layers))
