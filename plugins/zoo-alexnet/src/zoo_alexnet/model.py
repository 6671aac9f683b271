"""AlexNet as a chain of stages. The network is torchvision's."""

from __future__ import annotations

import torchvision
from torch import nn

from zoo_core import CLASSIFIER
from zoo_core.model.chain import Chain
from zoo_core.options import NoOptions


def alexnet(options: NoOptions) -> Chain:
    """Five convolutions, each with what follows it up to the next one (one tower, arXiv 1404.5997)."""
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
