"""The networks of He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition" (CVPR 2016,
arXiv 1512.03385), section 4.2: residual, and plain with the same layers.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from zoo_core import CLASSIFIER, Chain
from zoo_lesson.plugin import ResidualOptions

WIDTHS = (16, 32, 64)  # channels of the three layers of the paper
CLASSES = 10  # of CIFAR-10


class Block(nn.Module):
    """Two 3x3 convolutions, and around them, where `shortcut`, the identity.

    Where a block halves height and width and doubles the channels, the shortcut takes every second
    cell and fills the new channels with zeros (the paper's option A): it has no parameters, so that
    a plain network and a residual one have the same number.
    """

    def __init__(self, in_channels: int, out_channels: int, *, shortcut: bool) -> None:
        super().__init__()
        self.stride = 1 if in_channels == out_channels else 2
        self.added = out_channels - in_channels
        self.shortcut = shortcut
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, C', H', W')."""
        learned = functional.relu(self.bn1(self.conv1(features_BCHW)))
        learned = self.bn2(self.conv2(learned))
        if self.shortcut:
            around = features_BCHW[:, :, :: self.stride, :: self.stride]
            learned = learned + functional.pad(around, (0, 0, 0, 0, 0, self.added))
        return functional.relu(learned)


def cifar_resnet(options: ResidualOptions) -> Chain:
    """Build the network with `depth` = 6n + 2 layers: a stem, three stages of n blocks, a classifier."""
    blocks = (options.depth - 2) // 6
    stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
    stages: dict[str, nn.Module] = {"stem": stem}
    before = WIDTHS[0]
    for number, width in enumerate(WIDTHS, 1):
        widths = [before, *[width] * blocks]
        stages[f"layer{number}"] = nn.Sequential(
            *(Block(widths[place], width, shortcut=options.shortcut) for place in range(blocks))
        )
        before = width
    stages[CLASSIFIER] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], CLASSES))
    chain = Chain(stages)
    for module in chain.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return chain
