"""ResNet as a chain of stages. The network is torchvision's."""

from __future__ import annotations

import torchvision
from torch import nn

from zoo_core import CLASSIFIER
from zoo_core.model.chain import Chain
from zoo_core.options import NoOptions


def resnet18(options: NoOptions) -> Chain:
    """18 layers, basic blocks (arXiv 1512.03385)."""
    return _cut(torchvision.models.resnet18())


def resnet34(options: NoOptions) -> Chain:
    """34 layers, basic blocks (arXiv 1512.03385)."""
    return _cut(torchvision.models.resnet34())


def resnet50(options: NoOptions) -> Chain:
    """50 layers, bottleneck blocks (arXiv 1512.03385)."""
    return _cut(torchvision.models.resnet50())


def resnet101(options: NoOptions) -> Chain:
    """101 layers, bottleneck blocks (arXiv 1512.03385)."""
    return _cut(torchvision.models.resnet101())


def resnet152(options: NoOptions) -> Chain:
    """152 layers, bottleneck blocks (arXiv 1512.03385)."""
    return _cut(torchvision.models.resnet152())


def _cut(network: nn.Module) -> Chain:
    return Chain.cut(
        network,
        {
            "stem": ("conv1", "bn1", "relu", "maxpool"),
            "layer1": "layer1",
            "layer2": "layer2",
            "layer3": "layer3",
            "layer4": "layer4",
            CLASSIFIER: ("avgpool", nn.Flatten(), "fc"),
        },
    )
