"""A residual network with batch normalisation that is small: a checkpoint of resnet18 takes longer than its training here."""

from __future__ import annotations

from torch import Tensor, nn

from zoo_core import BackboneSpec, Chain, NoOptions, Paper, Preprocessing
from zoo_core.catalog import Catalog
from zoo_core.discovery import PluginRecord

CHANNELS = 8
THIRD = (0.5, 0.5, 0.5)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(CHANNELS)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps_BCHW: Tensor) -> Tensor:
        found: Tensor = self.relu(self.bn(self.conv(maps_BCHW)) + maps_BCHW)
        return found


def build(options: NoOptions) -> Chain:
    stem = nn.Sequential(nn.Conv2d(3, CHANNELS, 4, 4, bias=False), nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True))
    return Chain({"stem": stem, "layer1": Residual(), "layer2": Residual(), "layer3": Residual()})


SPEC = BackboneSpec(
    name="norms",
    build=f"{__name__}:build",
    stages=("stem", "layer1", "layer2", "layer3"),
    channels=CHANNELS,
    stride=4,
    min_size=8,
    year=2016,
    paper=Paper(title="-", authors="-", venue="-", year=2016),
    preprocessing=Preprocessing(size=32, mean=THIRD, std=THIRD),
)


def with_norms(catalog: Catalog) -> Catalog:
    """The installed plugins, and one with this network."""
    return Catalog((*catalog.records, PluginRecord("zoo-norms", "1", "norms", (SPEC,))))
