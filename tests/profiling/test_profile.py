"""Profiles: receptive fields as gradients show them, counts as specs state them, and the flat picture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo
from zoo_core.errors import UsageError
from zoo_core.profiling.picture import stages_svg
from zoo_core.profiling.profile import profile
from zoo_core.profiling.reach import Reach, followed
from zoo_core.profiling.stages import stages_of

SIDE = 61


class Both(nn.Module):
    """Two paths that are added, put side by side or multiplied."""

    def __init__(self, one: nn.Module, other: nn.Module, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.other, self.join = one, other, join

    def forward(self, images: Tensor) -> Tensor:
        return self.join(self.one(images), self.other(images))


class Last(nn.Module):
    """A normalisation and a linear layer over channels that stand last, as ConvNeXt has them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(channels), nn.Linear(channels, channels)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.norm(images.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


def conv(*arguments: int, **given: object) -> nn.Conv2d:
    return nn.Conv2d(*arguments, **given)  # type: ignore[arg-type]


NETWORKS = {
    "strides": [conv(3, 8, 5, stride=2, padding=1), nn.ReLU(), conv(8, 8, 3, padding=1), nn.BatchNorm2d(8)],
    "dilated": [conv(3, 8, 3, dilation=4), conv(8, 8, 2, stride=3)],
    "pools": [conv(3, 8, 3), nn.AvgPool2d(3, 2, padding=1), nn.MaxPool2d(2), conv(8, 8, 3, padding="same")],
    "one-sided": [conv(3, 8, (1, 7), padding=(0, 3)), conv(8, 8, (5, 1), stride=(2, 1))],
    "residual": [conv(3, 8, 3, stride=2), Both(conv(8, 8, 3, padding=1), nn.Identity(), torch.add)],
    "side by side": [Both(conv(3, 4, 1), conv(3, 4, 5, padding=2), lambda a, b: torch.cat([a, b], 1))],
    "padded": [nn.ZeroPad2d((0, 1, 0, 1)), conv(3, 8, 3, stride=2), Last(8), conv(8, 8, 3)],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_receptive_field_is_the_part_of_the_image_that_has_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*NETWORKS[name]).double().eval()
    ((_, macs, reach),) = followed([("all", network.to("meta"))], 3, SIDE)
    assert isinstance(reach, Reach)
    assert not reach.whole
    image = torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    real = nn.Sequential(*NETWORKS[name]).to_empty(device="cpu")
    for parameter in real.parameters():
        nn.init.normal_(parameter)
    for module in real.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    output = real(image)
    row, column = output.shape[2] // 2, output.shape[3] // 2
    output[0, :, row, column].sum().backward()
    touched = image.grad.abs().sum((0, 1)) > 0
    for axis, cell, dim in ((reach.height, row, 1), (reach.width, column, 0)):
        places = touched.any(dim).nonzero().flatten().tolist()
        assert (places[0], places[-1]) == (axis.low + axis.jump * cell, axis.high + axis.jump * cell)
    assert macs > 0


def test_squeeze_and_excitation_sees_the_whole_image_and_attention_is_not_guessed() -> None:
    squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(3, 3, 1), nn.Sigmoid())
    tokens = nn.Sequential(conv(3, 8, 4, stride=4), nn.Flatten(2))
    with torch.device("meta"):
        stages = [("squeezed", Both(nn.Identity(), squeeze.to("meta"), torch.mul)), ("tokens", tokens.to("meta"))]
    found = {name: reach for name, _, reach in followed(stages, 3, 32)}
    assert found["squeezed"] is not None
    assert found["squeezed"].whole
    alone = [reach for _, _, reach in followed([("tokens", tokens)], 3, 32)]
    assert alone == [None]


@pytest.mark.parametrize(
    "name", ["lenet5", "alexnet", "googlenet", "resnet50", "mobilenet_v3_large", "convnext_tiny", "vit_b_16"]
)
def test_multiply_accumulates_add_up_to_the_figure_of_the_spec(catalog: Catalog, name: str) -> None:
    from zoo_core.model.assemble import build_network
    from zoo_core.weights.load import build_shapes

    choice = catalog.backbone(name)
    network = build_shapes(lambda: build_network(choice)).eval()
    pixels = choice.spec.preprocessing
    total = sum(macs for _, macs, _ in followed(network.named_children(), pixels.channels, pixels.size))
    assert total / 1e9 == pytest.approx(choice.spec.gmacs, rel=0.02)


def test_known_fields_and_a_cut_of_the_image(catalog: Catalog) -> None:
    """212 pixels behind VGG-16's last pooling and 435 of ResNet-18 are those that are published
    (Araujo et al. 2019, "Computing Receptive Fields of Convolutional Neural Networks")."""
    made = profile("vgg16", catalog=catalog)
    assert made.stages[-1].field == (212, 212)
    left, top, right, bottom = made.stages[-1].box or (0, 0, 0, 0)
    assert 0 <= left < right < 224
    assert (left, right) == (top, bottom)
    assert profile("resnet18", catalog=catalog).stages[-1].field == (224, 224), "435, of which the image has 224"


def test_stages_have_any_size_that_a_run_may_have(catalog: Catalog) -> None:
    """LeNet-5's own classifier takes 32 pixels alone, which stopped `zoo view` of a run at 64."""
    choice = catalog.backbone("lenet5")
    made = stages_of(choice, replace(choice.spec.preprocessing, size=64))
    assert [stage.shape for stage in made] == [(6, 30, 30), (16, 13, 13), (120, 9, 9)]
    assert all(stage.macs for stage in made)


def test_the_picture_says_in_words_all_that_it_draws(catalog: Catalog) -> None:
    made = profile("lenet5", strategy="last:1", catalog=catalog)
    plain, phase = stages_svg(made), stages_svg(made, phase=0)
    root = ElementTree.fromstring(phase)
    assert len(root.findall(".//{*}g")) == 1 + len(made.stages)
    words = "".join(root.itertext())
    for stage in made.stages:
        assert stage.name in words
        assert " × ".join(map(str, stage.shape)) in words
    assert ("frozen" in words, "trained" in words) == (True, True)
    assert 'class="trained"' not in plain
    hostile = replace(made, backbone='<script>&"', stages=(replace(made.stages[0], name='x"<b>'),))
    assert "<script" not in stages_svg(hostile)
    assert "<b>" not in stages_svg(hostile)
    ElementTree.fromstring(stages_svg(hostile))


def test_info_draws_a_backbone_and_nothing_else(tmp_path: Path) -> None:
    drawn = tmp_path / "lenet5.svg"
    result = CliRunner().invoke(zoo, ["info", "lenet5", "--picture", str(drawn)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "<svg" in drawn.read_text(encoding="utf-8")
    for arguments, reason in (
        (["linear", "--picture", str(tmp_path / "a.svg")], "is for backbones"),
        (["lenet5", "--picture", str(tmp_path / "a.png")], "does not end in .svg"),
        (["lenet5", "--picture", str(drawn)], "exists already"),
    ):
        refused = CliRunner().invoke(zoo, ["info", *arguments])
        assert isinstance(refused.exception, UsageError)
        assert reason in str(refused.exception)
