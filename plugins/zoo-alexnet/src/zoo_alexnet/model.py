"""AlexNet as a chain of stages. The network is torchvision's."""

from __future__ import annotations

import torchvision
from torch import nn

from zoo_core import CLASSIFIER, Chain, NoOptions


def alexnet(options: NoOptions) -> Chain:
    """Build AlexNet in one tower (arXiv 1404.5997): each stage is a convolution with its activation and pooling."""
    return Chain.cut(
        torchvision.models.alexnet(),
        {
            "conv1": ("features.0", "features.1", "features.2"),
            "conv2": ("features.3", "features.4", "features.5"),
            "conv3": ("features.6", "features.7"),
            "conv4": ("features.8", "features.9"),
            "conv5": ("features.10", "features.11", "features.12"),
            CLASSIFIER: ("avgpool", nn.Flatten(), "classifier"),
        },
    )


def published(options: NoOptions) -> nn.Module:
    """The network as torchvision publishes it, for the conformance kit to compare with."""
    network: nn.Module = torchvision.models.alexnet()
    return network
