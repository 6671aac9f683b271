"""Tokens are features like maps: pooled, split, cached, mixed and left alone by weight decay.

Reported of the time before layouts: the cache permuted tokens of three axes (RuntimeError), and a class token decayed.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from zoo_core import BackboneSpec, Chain, FinetuneConfig, HeadSpec, Layout, NoOptions, Paper, Preprocessing
from zoo_core.catalog import Catalog
from zoo_core.discovery import PluginRecord
from zoo_core.embedding.features import features
from zoo_core.errors import PluginError, UsageError
from zoo_core.freezing.plan import TRAINABLE, Phase, Plan
from zoo_core.library import create_model, finetune
from zoo_core.model.assemble import set_trainable, trainable_parameters
from zoo_core.model.chain import freeze_part
from zoo_core.model.heads import Pooling, pooled
from zoo_core.tensors import read_tensors
from zoo_core.testing import backbone_checks
from zoo_core.training.job import fitted
from zoo_core.training.schedule import Rates, parameter_groups

CHANNELS, PATCH = 12, 8


class Embed(nn.Module):
    """Patches, a class token before them, positions for 32 pixels interpolated to others."""

    def __init__(self, prefix: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, CHANNELS, PATCH, PATCH)
        self.cls_token = nn.Parameter(torch.randn(1, prefix, CHANNELS)) if prefix else None
        self.pos_embed = nn.Parameter(torch.randn(1, CHANNELS, 4, 4))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        patches = self.patches(images_BCHW)
        place = nn.functional.interpolate(self.pos_embed, patches.shape[2:], mode="bilinear")
        tokens = (patches + place).flatten(2).transpose(1, 2)
        return (
            tokens if self.cls_token is None else torch.cat((self.cls_token.expand(tokens.shape[0], -1, -1), tokens), 1)
        )


class RootMeanSquareRMSNorm(nn.Module):
    """A norm of a library's own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(CHANNELS))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.scale * tokens * tokens.square().mean(-1, keepdim=True).add(1e-6).rsqrt()


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = RootMeanSquareRMSNorm()
        self.attention = nn.MultiheadAttention(CHANNELS, 2, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens_normed = self.norm(tokens)
        return tokens + self.attention(tokens_normed, tokens_normed, tokens_normed, need_weights=False)[0]


def build(options: NoOptions, *, variant: str) -> Chain:
    return Chain({"embed": Embed(int(variant)), "block1": Block(), "block2": Block()})


def spec(prefix: int) -> BackboneSpec:
    paper = Paper(title="-", authors="-", venue="-", year=2021)
    third = (0.5, 0.5, 0.5)
    return BackboneSpec(
        name=f"tokens{prefix}",
        build=f"{__name__}:build",
        variant=str(prefix),
        stages=("embed", "block1", "block2"),
        channels=CHANNELS,
        stride=PATCH,
        min_size=PATCH,
        size_step=PATCH,
        year=2021,
        paper=paper,
        preprocessing=Preprocessing(size=32, mean=third, std=third),
        features=Layout("tokens", prefix=prefix),
    )


def maps_only(options: NoOptions, *, in_channels: int, num_outputs: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_outputs))


MAPS_ONLY = HeadSpec(name="maps-only", build=f"{__name__}:maps_only", summary="-")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _module())


def _module() -> ModuleType:
    module = ModuleType(__name__)
    module.__dict__.update(globals())
    return module


@pytest.fixture
def tokens(catalog: Catalog) -> Catalog:
    """The installed plugins, and one with networks of tokens."""
    specs = (*map(spec, (0, 1, 2)), MAPS_ONLY)
    return Catalog((*catalog.records, PluginRecord("zoo-tokens", "1", "tokens", specs)))


@pytest.mark.parametrize("prefix", [0, 1, 2])
def test_a_network_of_tokens_passes_the_conformance_kit(prefix: int) -> None:
    plugin = ModuleType("tokens")
    plugin.zoo_backbones = lambda: [spec(prefix)]
    for check in backbone_checks(plugin)[2:]:  # the first two are about a plugin that is installed
        check()


FEATURES = torch.arange(2 * 5 * 3.0).reshape(2, 5, 3)
PATCHES = FEATURES[:, 1:]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("avg", PATCHES.mean(1)),
        ("max", PATCHES.amax(1)),
        ("avgmax", torch.cat((PATCHES.mean(1), PATCHES.amax(1)), 1)),
        ("cls", FEATURES[:, 0]),
        ("cls+avg", torch.cat((FEATURES[:, 0], PATCHES.mean(1)), 1)),
        ("gem", PATCHES.pow(3).mean(1).pow(1 / 3)),
        ("attention", PATCHES.mean(1)),  # a fresh query weighs all alike
    ],
)
def test_tokens_are_pooled(catalog: Catalog, pool: Pooling, expected: Tensor) -> None:
    layers, width = pooled(pool, 3, Layout("tokens", prefix=1))
    found = nn.Sequential(*(layer for _, layer in layers))(FEATURES)
    assert torch.allclose(found, expected)
    assert found.shape == (2, width)


@pytest.mark.parametrize("pool", ["cls", "cls+avg"])
def test_a_register_is_not_pooled_as_a_class_token(pool: Pooling) -> None:
    registers = Layout("tokens", prefix=4, class_token=False)
    assert str(registers) == "tokens, 4 of them before the patches, none a class token"
    with pytest.raises(UsageError, match="needs a class token"):
        pooled(pool, 3, registers)
    assert Layout("tokens", prefix=1) == Layout("tokens", prefix=1, class_token=True)
    assert [one.has_class_token for one in (registers, Layout("tokens", prefix=1))] == [False, True], "its older name"


@pytest.mark.parametrize("head", ["linear", "mlp:8,pool=cls", "cosine:cls+avg", "logreg:cls", "prototype", "flatten"])
@pytest.mark.parametrize("backbone", ["tokens1", "tokens2"])
def test_every_head_of_core_takes_tokens(tokens: Catalog, backbone: str, head: str) -> None:
    model = create_model(backbone, num_classes=3, head=head, catalog=tokens)
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize(
    ("backbone", "head", "reason"),
    [
        ("tokens0", "linear:cls", "tokens without a class token: pool=cls needs a class token"),
        ("resnet18", "linear:cls+avg", "a feature map: pool=cls\\+avg needs a class token"),
        (
            "tokens1",
            "maps-only",
            "tokens, 1 of them before the patches: it takes .*`flatten`.* take tokens",
        ),
    ],
)
def test_an_impossible_pair_is_refused_with_both_names(tokens: Catalog, backbone: str, head: str, reason: str) -> None:
    with pytest.raises(
        UsageError,
        match=f"the head '{head}' does not fit the backbone '{backbone}', .*{reason}".replace("+avg'", "\\+avg'"),
    ):
        create_model(backbone, num_classes=3, head=head, weights="none", catalog=tokens)


def test_norms_tables_and_tokens_do_not_decay_and_norms_freeze_as_norms(tokens: Catalog) -> None:
    model = create_model("tokens1", num_classes=3, catalog=tokens)
    plan = Plan(model.backbone.stages, (Phase(1, (TRAINABLE,) * 4),))
    groups = parameter_groups(model, plan, 0, Rates(dict.fromkeys((*plan.stages, "head"), 1.0)), 0.1)
    names = {parameter: name for name, parameter in model.named_parameters()}
    kept = {names[one] for group in groups if group["weight_decay"] == 0 for one in group["params"]}
    assert {"backbone.embed.cls_token", "backbone.embed.pos_embed"} <= kept
    assert not any("in_proj_weight" in name or name.endswith("patches.weight") for name in kept)
    rule = replace(TRAINABLE, parameters="norm")
    block = model.backbone.stage("block1")
    assert list(trainable_parameters(block, rule)) == [block.norm.scale]
    set_trainable(block, TRAINABLE)
    freeze_part(block.train(), replace(TRAINABLE, statistics="frozen"))
    assert (block.norm.training, block.attention.training) == (False, True)


@pytest.mark.parametrize("strategy", ["head-only", "last:1", "full"])
@pytest.mark.parametrize("cutmix", [0.0, 1.0])
def test_a_fine_tune_on_tokens_is_the_same_with_a_cache_and_without(
    tokens: Catalog, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, cutmix: float
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    settings = {
        "strategy": strategy,
        "epochs": 2,
        "augment": "none",
        "cutmix": cutmix,
        "lr": 0.01,
        "cache_dtype": "float32",
    }
    found = []
    for views in (1, 0):
        run = str(tmp_path / f"run{views}")
        config = FinetuneConfig(backbone="tokens1", data=str(photos), views=views, out=run, **settings)
        found.append(read_tensors(finetune(config, catalog=tokens).directory / "model.safetensors"))
    assert all(torch.allclose(tensor, found[1][name], atol=1e-5) for name, tensor in found[0].items())


def test_a_table_of_features_has_tokens_of_a_stage_and_pooled_vectors(
    tokens: Catalog, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    found = {}
    for at in ("block2", "pooled"):
        with features("tokens1", photos, at=at, cache_dtype="float32", catalog=tokens) as table:
            found[at] = torch.from_numpy(table[:])
    assert found["block2"].shape == (20, 17, CHANNELS)
    assert torch.allclose(found["pooled"], found["block2"][:, 1:].mean(1), atol=1e-5)


def test_sizes_follow_the_step_of_the_patches() -> None:
    own = spec(1)
    assert fitted(own.preprocessing, FinetuneConfig(backbone="tokens1", size=48), own).size == 48
    with pytest.raises(
        UsageError,
        match="needs images of at least 8 pixels, a multiple of 8, and --image-size is 50. The nearest: 48 and 56",
    ):
        fitted(own.preprocessing, FinetuneConfig(backbone="tokens1", size=50), own)
    with pytest.raises(UsageError, match="needs images of 32 pixels only"):
        fitted(own.preprocessing, FinetuneConfig(backbone="tokens1", size=48), replace(own, size_step=None))


def test_a_layout_of_nonsense_is_refused() -> None:
    with pytest.raises(PluginError, match="a map cannot have 1 prefix tokens"):
        Layout("map", prefix=1)
    with pytest.raises(PluginError, match="a class token is one of the prefix tokens"):
        Layout("tokens", class_token=True)
