"""VGG as a chain of stages. The network is torchvision's."""

from __future__ import annotations

import torchvision
from torch import nn

from zoo_core import CLASSIFIER
from zoo_core.model.chain import Chain
from zoo_core.options import NoOptions


def vgg11(options: NoOptions) -> Chain:
    """Configuration A of the paper, 11 layers (arXiv 1409.1556)."""
    return _cut(torchvision.models.vgg11())


def vgg11_bn(options: NoOptions) -> Chain:
    """Configuration A of the paper, 11 layers, with batch normalisation (arXiv 1409.1556)."""
    return _cut(torchvision.models.vgg11_bn())


def vgg13(options: NoOptions) -> Chain:
    """Configuration B of the paper, 13 layers (arXiv 1409.1556)."""
    return _cut(torchvision.models.vgg13())


def vgg13_bn(options: NoOptions) -> Chain:
    """Configuration B of the paper, 13 layers, with batch normalisation (arXiv 1409.1556)."""
    return _cut(torchvision.models.vgg13_bn())


def vgg16(options: NoOptions) -> Chain:
    """Configuration D of the paper, 16 layers (arXiv 1409.1556)."""
    return _cut(torchvision.models.vgg16())


def vgg16_bn(options: NoOptions) -> Chain:
    """Configuration D of the paper, 16 layers, with batch normalisation (arXiv 1409.1556)."""
    return _cut(torchvision.models.vgg16_bn())


def vgg19(options: NoOptions) -> Chain:
    """Configuration E of the paper, 19 layers (arXiv 1409.1556)."""
    return _cut(torchvision.models.vgg19())


def vgg19_bn(options: NoOptions) -> Chain:
    """Configuration E of the paper, 19 layers, with batch normalisation (arXiv 1409.1556)."""
    return _cut(torchvision.models.vgg19_bn())


def _cut(network: nn.Module) -> Chain:
    """Cut after each pooling: a block ends with its own, so that what it puts out is small."""
    blocks: list[list[str]] = [[]]
    for name, layer in network.get_submodule("features").named_children():
        blocks[-1].append(f"features.{name}")
        if isinstance(layer, nn.MaxPool2d):
            blocks.append([])
    stages = {f"block{number}": paths for number, paths in enumerate(blocks[:-1], start=1)}
    return Chain.cut(network, {**stages, CLASSIFIER: ("avgpool", nn.Flatten(), "classifier")})
