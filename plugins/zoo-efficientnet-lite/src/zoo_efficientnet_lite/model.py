"""EfficientNet-Lite as a chain of stages, after Tan and Le 2019 (arXiv:1905.11946) and Google's Lite variants.

Lite is EfficientNet without squeeze-and-excitation and with ReLU6 for swish. In larger variants the stem and the last
convolution keep their width, and the first and last group keep one block each. State-dict keys are timm's.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from zoo_core import CLASSIFIER, Chain, NoOptions

# EfficientNet-B0, table 1 of the paper: expansion, kernel, stride, channels, blocks.
GROUPS = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM, TOP, CLASSES = 32, 1280, 1000


SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
"""Factors of the width and of the depth."""


def build(options: NoOptions, *, variant: str) -> Chain:
    """Build `lite0` to `lite2`: (B, 3, S, S) to (B, 1280, S / 32, S / 32), rounded up."""
    width, depth = SCALES[variant]
    return _network(width=width, depth=depth)


def repeats(depth: float) -> tuple[int, ...]:
    """The number of blocks in each group; the first and the last group do not grow with the depth."""
    inner = [math.ceil(depth * blocks) for *_, blocks in GROUPS[1:-1]]
    return (GROUPS[0][-1], *inner, GROUPS[-1][-1])


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding: the output's side is ceil(input / stride).

    An odd padding puts its larger half at the bottom and right. The padding depends on the input's size, so Conv2d
    cannot take it as an argument.
    """

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, out channels, ceil(H / stride), ceil(W / stride))."""
        height, width = images_BCHW.shape[-2:]
        top, bottom = self._padding(height, 0)
        left, right = self._padding(width, 1)
        return super().forward(F.pad(images_BCHW, (left, right, top, bottom)))

    def _padding(self, size: int, dimension: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[dimension], self.stride[dimension]
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2


class Block(nn.Module):
    """MobileNetV2's inverted bottleneck: widen with 1x1, filter each channel alone, narrow with 1x1, add the input.

    The input is added if it has the output's shape. In a block without expansion timm numbers the batch norms from the
    depthwise convolution on, and calls the narrowing convolution `conv_pw`.
    """

    def __init__(self, in_channels: int, out_channels: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.adds_input = stride == 1 and in_channels == out_channels
        inner = in_channels * expansion
        layers: list[tuple[str, nn.Module]] = []
        if expansion > 1:
            layers += [("conv_pw", _pointwise(in_channels, inner)), ("bn1", _norm(inner)), ("act1", nn.ReLU6())]
        widened = len(layers) > 0
        layers += [
            ("conv_dw", _convolution(inner, inner, kernel, stride, groups=inner)),
            ("bn2" if widened else "bn1", _norm(inner)),
            ("act2" if widened else "act1", nn.ReLU6()),
            ("conv_pwl" if widened else "conv_pw", _pointwise(inner, out_channels)),
            ("bn3" if widened else "bn2", _norm(out_channels)),
        ]
        for name, layer in layers:
            self.add_module(name, layer)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Map (B, in channels, H, W) to (B, out channels, ceil(H / stride), ceil(W / stride))."""
        flow_BCHW = features_BCHW
        for layer in self.children():
            flow_BCHW = layer(flow_BCHW)
        return features_BCHW + flow_BCHW if self.adds_input else flow_BCHW


def _network(*, width: float, depth: float) -> Chain:
    stages: dict[str, nn.Module] = {
        "stem": nn.Sequential(
            OrderedDict(conv_stem=_convolution(3, STEM, 3, 2), bn1=_norm(STEM), act=nn.ReLU6()),
        )
    }
    upstream = {"stem.": "", "top.": "", f"{CLASSIFIER}.": ""}
    channels = STEM
    for number, ((expansion, kernel, stride, base, _), blocks) in enumerate(zip(GROUPS, repeats(depth), strict=True)):
        group = nn.Sequential()
        for block in range(blocks):
            out = _scaled(base, width)
            step = stride if block == 0 else 1
            group.append(Block(channels, out, expansion=expansion, kernel=kernel, stride=step))
            channels = out
        stages[f"blocks{number + 1}"] = group
        upstream[f"blocks{number + 1}."] = f"blocks.{number}."
    stages["top"] = nn.Sequential(
        OrderedDict(conv_head=_pointwise(channels, TOP), bn2=_norm(TOP), act=nn.ReLU6()),
    )
    stages[CLASSIFIER] = nn.Sequential(
        OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), classifier=nn.Linear(TOP, CLASSES)),
    )
    return Chain(stages, upstream)


def _scaled(channels: int, width: float) -> int:
    """Scale a width and round it to the nearest multiple of 8, but never down by more than a tenth."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8


def _pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    return _convolution(in_channels, out_channels, 1, 1)


def _convolution(in_channels: int, out_channels: int, kernel: int, stride: int, *, groups: int = 1) -> nn.Conv2d:
    """Build a convolution with SAME padding, drawn from a normal distribution of variance 2 / fan out."""
    if stride == 1:
        layer = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=False)
    else:
        layer = SameConv2d(in_channels, out_channels, kernel, stride, groups=groups, bias=False)
    nn.init.normal_(layer.weight, std=math.sqrt(2 / (kernel**2 * out_channels / groups)))
    return layer


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)  # TensorFlow's default, with which the weights were trained
