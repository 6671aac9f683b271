"""VGG as a chain of stages. The network is torchvision's."""

from __future__ import annotations

import torchvision
from torch import nn

from zoo_core import CLASSIFIER, Chain, NoOptions


def build(options: NoOptions, *, variant: str) -> Chain:
    """Build `vgg11` to `vgg19_bn`: configurations A, B, D and E of the paper (arXiv 1409.1556).

    Each block ends with its pooling, so that a stage's output is small.
    """
    network = torchvision.models.get_model(variant)
    blocks: list[list[str]] = [[]]
    for name, layer in network.get_submodule("features").named_children():
        blocks[-1].append(f"features.{name}")
        if isinstance(layer, nn.MaxPool2d):
            blocks.append([])
    stages = {f"block{number}": paths for number, paths in enumerate(blocks[:-1], start=1)}
    return Chain.cut(network, {**stages, CLASSIFIER: ("avgpool", nn.Flatten(), "classifier")})
