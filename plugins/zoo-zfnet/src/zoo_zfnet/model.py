"""ZFNet, written after figure 3 of the paper: Zeiler and Fergus, arXiv 1311.2901.

At 224 pixels the sides of the maps are 110, pooled 55; 26, pooled 13; 13; 13; 13, pooled 6. The figure gives these
sizes without the paddings; the paddings below produce them.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from zoo_core import CLASSIFIER, Chain, NoOptions


def zfnet(options: NoOptions) -> Chain:
    """Build ZFNet: five convolutions, the first two with pooling and contrast normalisation, and three linear layers.

    Weights are initialised by He et al. (arXiv 1502.01852). With the paper's standard deviation of 0.01 activations
    fade from layer to layer: six epochs on 1,000 images of clothes (64 pixels, one seed) reached a validation accuracy
    of 0.70 instead of 0.80.
    """
    chain = Chain(
        {
            "conv1": _stage(nn.Conv2d(3, 96, 7, stride=2, padding=1), pool=True, norm=True),
            "conv2": _stage(nn.Conv2d(96, 256, 5, stride=2), pool=True, norm=True),
            "conv3": _stage(nn.Conv2d(256, 384, 3, padding=1)),
            "conv4": _stage(nn.Conv2d(384, 384, 3, padding=1)),
            "conv5": _stage(nn.Conv2d(384, 256, 3, padding=1), pool=True),
            CLASSIFIER: nn.Sequential(
                OrderedDict(
                    avgpool=nn.AdaptiveAvgPool2d(6),  # 6x6 already at 224 pixels; other sizes are pooled to it
                    flatten=nn.Flatten(),
                    fc6=nn.Linear(256 * 6 * 6, 4096),
                    relu6=nn.ReLU(inplace=True),
                    dropout6=nn.Dropout(0.5),
                    fc7=nn.Linear(4096, 4096),
                    relu7=nn.ReLU(inplace=True),
                    dropout7=nn.Dropout(0.5),
                    fc8=nn.Linear(4096, 1000),
                )
            ),
        }
    )
    for name, parameter in chain.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        else:
            nn.init.zeros_(parameter)
    return chain


def _stage(conv: nn.Conv2d, *, pool: bool = False, norm: bool = False) -> nn.Module:
    layers: list[tuple[str, nn.Module]] = [("conv", conv), ("relu", nn.ReLU(inplace=True))]
    if pool:
        # 55 from 110 and 13 from 26: the last window reaches over the border.
        layers.append(("pool", nn.MaxPool2d(3, stride=2, ceil_mode=True)))
    if norm:
        # The figures of Krizhevsky et al. 2012, x / (2 + 1e-4 * sum over 5 maps) ** 0.75; torch divides alpha by 5.
        layers.append(("norm", nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)))
    return nn.Sequential(OrderedDict(layers))
