"""Networks with weights of five dimensions, such as timm's lambda networks, beside those of maps."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import zoo_core
from helpers import make_photos
from tests.plugins.test_blame import SPEC
from zoo_core import Chain, FinetuneConfig
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.discovery import PluginRecord
from zoo_core.model.memory_format import laid_out


class Lambda(nn.Module):
    """A stage with a 2D and a 3D convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.norm = nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.volume = nn.Conv3d(1, 1, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.volume(self.norm(self.maps(inputs)).unsqueeze(1))
        return outputs.squeeze(1)


@pytest.fixture
def catalog(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """A catalog with a network that ends with such a stage."""
    module = ModuleType("zoo_blamed")
    vars(module)["build"] = lambda options: Chain({"stem": nn.Conv2d(3, 4, 3, stride=2, padding=1), "body": Lambda()})
    monkeypatch.setitem(sys.modules, "zoo_blamed", module)
    record = PluginRecord("zoo-blamed", "1.0", "blamed", (SPEC,))
    return Catalog((*open_catalog(with_plugins=False).records, record))


@pytest.mark.parametrize("strategy", ["head-only", "last:1"])
def test_they_are_cached_and_trained(strategy: str, catalog: Catalog, tmp_path: Path) -> None:
    """Seen to fail: torch refuses channels last for all weights if some have five dimensions."""
    config = FinetuneConfig(
        backbone="net",
        data=str(make_photos(tmp_path / "photos")),
        strategy=strategy,
        epochs=1,
        out=str(tmp_path / "run"),
    )
    assert len(zoo_core.finetune(config, catalog=catalog).trained.epochs) == 1


def test_weights_of_maps_are_laid_out_with_their_gradients() -> None:
    stage = Lambda()
    stage(torch.randn(2, 4, 5, 6)).sum().backward()
    weight = stage.maps.weight
    assert laid_out(stage, torch.channels_last) is stage
    assert stage.maps.weight is weight
    assert weight.grad is not None
    for tensor in (weight, weight.grad):
        assert tensor.is_contiguous(memory_format=torch.channels_last)
        assert not tensor.is_contiguous()
    assert laid_out(stage, torch.contiguous_format).maps.weight.is_contiguous()


def test_weights_with_one_channel_have_the_strides_of_a_conversion_too() -> None:
    """Seen to fail: gradients of another layout than that of their weights, of which processes that share a step warn."""
    one, other = (nn.Conv2d(1, 6, 5) for _ in range(2))
    assert (
        laid_out(one, torch.channels_last).weight.stride()
        == other.to(memory_format=torch.channels_last).weight.stride()
    )
