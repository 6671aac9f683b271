"""GoogLeNet and Inception v3 as chains of stages. The networks are torchvision's, without auxiliary classifiers.

torchvision draws their initial weights from truncated normal distributions (0.7 s for either network). A stage that
is followed by a pooling ends with it, so that its output is small.
"""

from __future__ import annotations

import torchvision
from torch import nn

from zoo_core import CLASSIFIER, Chain, NoOptions


def googlenet(options: NoOptions) -> Chain:
    """A stem and nine inception modules (arXiv 1409.4842)."""
    return Chain.cut(
        torchvision.models.googlenet(aux_logits=False, init_weights=True),
        {
            "stem": ("conv1", "maxpool1", "conv2", "conv3", "maxpool2"),
            "inception3a": "inception3a",
            "inception3b": ("inception3b", "maxpool3"),
            "inception4a": "inception4a",
            "inception4b": "inception4b",
            "inception4c": "inception4c",
            "inception4d": "inception4d",
            "inception4e": ("inception4e", "maxpool4"),
            "inception5a": "inception5a",
            "inception5b": "inception5b",
            CLASSIFIER: ("avgpool", nn.Flatten(), "dropout", "fc"),
        },
    )


def inception_v3(options: NoOptions) -> Chain:
    """A stem and eleven inception modules, factorised (arXiv 1512.00567)."""
    stem = (
        "Conv2d_1a_3x3",
        "Conv2d_2a_3x3",
        "Conv2d_2b_3x3",
        "maxpool1",
        "Conv2d_3b_1x1",
        "Conv2d_4a_3x3",
        "maxpool2",
    )
    modules = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")
    return Chain.cut(
        torchvision.models.inception_v3(aux_logits=False, init_weights=True),
        {
            "stem": stem,
            **{f"mixed{name}": f"Mixed_{name}" for name in modules},
            CLASSIFIER: ("avgpool", "dropout", nn.Flatten(), "fc"),
        },
    )
