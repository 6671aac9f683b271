"""torchvision's networks as chains of stages. Each function below names the stages of one class of networks.

A stage that is followed by a pooling ends with it, so that its output is small. Blocks of one width are one stage, as
the papers count them.

Shapes: B batch, C channels, H height, W width, N tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torchvision import models

from zoo_core import CLASSIFIER, Chain, NoOptions

Stages = dict[str, str | Sequence[str | nn.Module]]


def build(options: NoOptions, *, variant: str) -> Chain:
    """Build torchvision's network `variant`; "vit_b_16:384" is its `vit_b_16` for images of 384 pixels."""
    network = published(options, variant=variant)
    chain = Chain.cut(network, CUTS[type(network)](network))
    if isinstance(network, models.VisionTransformer):
        chain.upstream_prefixes |= {
            "stem.embedding.pos_embedding": "encoder.pos_embedding",
            "stem.embedding.": "",
        }
    return chain


def published(options: NoOptions, *, variant: str) -> nn.Module:
    """The network as torchvision publishes it, for the conformance kit to compare with."""
    name, _, size = variant.partition(":")
    with _ListsOnCpu() if name.startswith("regnet") else nullcontext():
        network: nn.Module = models.get_model(name, **({"image_size": int(size)} if size else {}))
    return network


class _ListsOnCpu(TorchFunctionMode):
    """Keeps the numbers from which RegNet computes its depths and widths on the CPU.

    They are tensors for a moment, and on the meta device they would have no values.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func is torch.arange or (func is torch.tensor and isinstance(args[0], list)):
            given = {"device": "cpu", **given}
        return func(*args, **given)


def _pooled(*after: str | nn.Module) -> tuple[str | nn.Module, ...]:
    """A classifier whose average pooling is an operation in the network's forward()."""
    return (nn.AdaptiveAvgPool2d(1), nn.Flatten(), *after)


def _children(network: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The paths and modules of the children of a part."""
    for name, child in network.get_submodule(path).named_children():
        yield f"{path}.{name}", child


def _resnet(network: nn.Module) -> Stages:
    layers: Stages = {layer: layer for layer in ("layer1", "layer2", "layer3", "layer4")}
    return {"stem": ("conv1", "bn1", "relu", "maxpool"), **layers, CLASSIFIER: ("avgpool", nn.Flatten(), "fc")}


def _densenet(network: nn.Module) -> Stages:
    return {
        "stem": ("features.conv0", "features.norm0", "features.relu0", "features.pool0"),
        "denseblock1": ("features.denseblock1", "features.transition1"),
        "denseblock2": ("features.denseblock2", "features.transition2"),
        "denseblock3": ("features.denseblock3", "features.transition3"),
        "denseblock4": ("features.denseblock4", "features.norm5", nn.ReLU(inplace=True)),
        CLASSIFIER: _pooled("classifier"),
    }


def _squeezenet(network: nn.Module) -> Stages:
    stages: dict[str, list[str | nn.Module]] = {"stem": []}
    for path, part in _children(network, "features"):
        if isinstance(part, models.squeezenet.Fire):
            stages[f"fire{len(stages) + 1}"] = []  # the paper counts from fire2
        stages[list(stages)[-1]].append(path)
    return {**stages, CLASSIFIER: ("classifier", nn.Flatten())}


def _mobilenet(network: nn.Module) -> Stages:
    stem, *blocks, top = _children(network, "features")
    stages: Stages = {"stem": stem[0]}
    for number, (_, group) in enumerate(itertools.groupby(blocks, lambda block: block[1].out_channels), start=1):
        stages[f"blocks{number}"] = tuple(path for path, _ in group)
    return {**stages, "top": top[0], CLASSIFIER: _pooled("classifier")}


def _efficientnet(network: nn.Module) -> Stages:
    stem, *blocks, top = (path for path, _ in _children(network, "features"))
    stages: Stages = {f"blocks{number}": path for number, path in enumerate(blocks, start=1)}
    return {"stem": stem, **stages, "top": top, CLASSIFIER: ("avgpool", nn.Flatten(), "classifier")}


def _mnasnet(network: nn.Module) -> Stages:
    paths = [path for path, _ in _children(network, "layers")]
    stages: Stages = {f"blocks{number}": path for number, path in enumerate(paths[8:14], start=1)}
    return {"stem": paths[:8], **stages, "top": paths[14:], CLASSIFIER: _pooled("classifier")}


def _shufflenet(network: nn.Module) -> Stages:
    stages: Stages = {stage: stage for stage in ("stage2", "stage3", "stage4", "conv5")}
    return {"stem": ("conv1", "maxpool"), **stages, CLASSIFIER: _pooled("fc")}


def _regnet(network: nn.Module) -> Stages:
    stages: Stages = {path.rpartition(".")[2]: path for path, _ in _children(network, "trunk_output")}
    return {"stem": "stem", **stages, CLASSIFIER: ("avgpool", nn.Flatten(), "fc")}


def _convnext(network: nn.Module) -> Stages:
    return {
        "stem": "features.0",
        "stage1": "features.1",
        "stage2": ("features.2", "features.3"),
        "stage3": ("features.4", "features.5"),
        "stage4": ("features.6", "features.7"),
        CLASSIFIER: ("avgpool", "classifier"),
    }


def _maxvit(network: nn.Module) -> Stages:
    stages: Stages = {f"stage{number}": path for number, (path, _) in enumerate(_children(network, "blocks"), start=1)}
    return {"stem": "stem", **stages, CLASSIFIER: "classifier"}


def _swin(network: nn.Module) -> Stages:
    """Swin computes (B, H, W, C); its stages hand on (B, C, H, W)."""
    return {
        "stem": ("features.0", ChannelsFirst()),
        "stage1": (ChannelsLast(), "features.1", ChannelsFirst()),
        "stage2": (ChannelsLast(), "features.2", "features.3", ChannelsFirst()),
        "stage3": (ChannelsLast(), "features.4", "features.5", ChannelsFirst()),
        "stage4": (ChannelsLast(), "features.6", "features.7", "norm", ChannelsFirst()),
        CLASSIFIER: ("avgpool", nn.Flatten(), "head"),
    }


def _vit(network: nn.Module) -> Stages:
    *blocks, last = (path for path, _ in _children(network, "encoder.layers"))
    stages: Stages = {f"block{number}": path for number, path in enumerate(blocks, start=1)}
    stages[f"block{len(blocks) + 1}"] = (last, "encoder.ln")
    return {"stem": (Embedding(network),), **stages, CLASSIFIER: (ClassToken(), "heads")}


CUTS: dict[type[nn.Module], Callable[[nn.Module], Stages]] = {
    models.ConvNeXt: _convnext,
    models.DenseNet: _densenet,
    models.EfficientNet: _efficientnet,
    models.MNASNet: _mnasnet,
    models.MaxVit: _maxvit,
    models.MobileNetV2: _mobilenet,
    models.MobileNetV3: _mobilenet,
    models.RegNet: _regnet,
    models.ResNet: _resnet,
    models.ShuffleNetV2: _shufflenet,
    models.SqueezeNet: _squeezenet,
    models.SwinTransformer: _swin,
    models.VisionTransformer: _vit,
}


class ChannelsFirst(nn.Module):
    """Maps (B, H, W, C) to (B, C, H, W)."""

    def forward(self, map_BHWC: Tensor) -> Tensor:
        return map_BHWC.permute(0, 3, 1, 2)


class ChannelsLast(nn.Module):
    """Maps (B, C, H, W) to (B, H, W, C)."""

    def forward(self, map_BCHW: Tensor) -> Tensor:
        return map_BCHW.permute(0, 2, 3, 1)


class ClassToken(nn.Module):
    """Maps tokens (B, N, C) to the class token (B, C)."""

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        return tokens_BNC[:, 0]


class Embedding(nn.Module):
    """Maps images (B, 3, H, W) to the class token and the patches, with their positions: tokens (B, N, C).

    For other image sizes than the network's own the positions are interpolated as torchvision interpolates them
    (`torchvision.models.vision_transformer.interpolate_embeddings`).
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.conv_proj = network.conv_proj
        self.class_token = network.class_token
        self.pos_embedding: nn.Parameter = network.encoder.pos_embedding
        self.dropout = network.encoder.dropout
        self.patch = network.patch_size
        self.side = network.image_size // network.patch_size

    def forward(self, images_BCHW: Tensor) -> Tensor:
        height, width = images_BCHW.shape[2:]
        if height % self.patch or width % self.patch:
            raise ValueError(
                f"an image of {height} x {width} pixels is no whole number of patches of {self.patch} pixels"
            )
        patches_BCHW = self.conv_proj(images_BCHW)
        token_B1C = self.class_token.expand(patches_BCHW.shape[0], -1, -1)
        tokens_BNC = torch.cat([token_B1C, patches_BCHW.flatten(2).transpose(1, 2)], 1)
        positions_1NC = self._positions(height // self.patch, width // self.patch)
        return self.dropout(tokens_BNC + positions_1NC)  # type: ignore[no-any-return]

    def _positions(self, height: int, width: int) -> Tensor:
        """The positions (1, N, C) of a class token and so many patches."""
        if height == width == self.side:
            return self.pos_embedding
        grid_1CHW = self.pos_embedding[:, 1:].transpose(1, 2).reshape(1, -1, self.side, self.side)
        resized_1CHW = F.interpolate(grid_1CHW, (height, width), mode="bicubic", align_corners=True)
        return torch.cat([self.pos_embedding[:, :1], resized_1CHW.flatten(2).transpose(1, 2)], 1)
