"""ResNet as a chain of stages. The network is torchvision's."""

from __future__ import annotations

import torchvision
from torch import nn

from zoo_core import CLASSIFIER, Chain, NoOptions


def build(options: NoOptions, *, variant: str) -> Chain:
    """Build `resnet18` to `resnet152` (arXiv 1512.03385): basic blocks up to 34 layers, bottleneck blocks from 50."""
    return Chain.cut(
        torchvision.models.get_model(variant),
        {
            "stem": ("conv1", "bn1", "relu", "maxpool"),
            "layer1": "layer1",
            "layer2": "layer2",
            "layer3": "layer3",
            "layer4": "layer4",
            CLASSIFIER: ("avgpool", nn.Flatten(), "fc"),
        },
    )


def published(options: NoOptions, *, variant: str) -> nn.Module:
    """The network as torchvision publishes it, for the conformance kit to compare with."""
    network: nn.Module = torchvision.models.get_model(variant)
    return network
