"""A residual network of maps and a transformer of tokens, both small, and ways to plant a fault into either."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo_core import CLASSIFIER, BackboneSpec, Chain, Layout, Paper, Preprocessing, hookimpl
from zoo_core.testing import plugin_checks

MODULE = "zoo_planted"
STAGES = ("stem", "layer1", "layer2")


@dataclass(frozen=True)
class Width:
    width: int = 4


class Residual(nn.Module):
    """Two convolutions with batch norm around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x))))))


class ResidualNet(nn.Module):
    """A network with functional operations in its forward(), as most published ones."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width)
        self.layer1, self.layer2 = Residual(width), Residual(width)
        self.last = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(functional.max_pool2d(functional.relu(self.bn(self.conv(x))), 3, 2, 1)))
        return self.fc(functional.relu(self.last(x)).mean((2, 3)))

    def cut(self) -> Chain:
        return Chain.cut(
            self,
            {
                "stem": ("conv", "bn", nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
                "layer1": "layer1",
                "layer2": ("layer2", "last", nn.ReLU()),
                CLASSIFIER: (nn.AdaptiveAvgPool2d(1), nn.Flatten(), "fc"),
            },
        )


class Patches(nn.Module):
    """Patches of 4 x 4 pixels as tokens, behind a class token."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 4, 4)
        self.class_token = nn.Parameter(torch.zeros(1, 1, channels))

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat((self.class_token.expand(images.shape[0], -1, -1), self.conv(images).flatten(2).mT), dim=1)


class Attention(nn.Module):
    """Self-attention with one head and two layers over the channels, each behind layer norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv, self.output = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.up, self.down = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        x = x + self.output(functional.scaled_dot_product_attention(query, key, value))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class First(nn.Module):
    """The class token alone."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens[:, 0]


class TokenNet(nn.Module):
    """A vision transformer without a table of positions, so that it takes every multiple of 4 pixels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.patches = Patches(width)
        self.layer1, self.layer2 = Attention(width), Attention(width)
        self.last = nn.LayerNorm(width)
        self.fc = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(functional.gelu(self.patches(x))))
        return self.fc(functional.gelu(self.last(x))[:, 0])

    def cut(self) -> Chain:
        return Chain.cut(
            self,
            {
                "stem": ("patches", nn.GELU()),
                "layer1": "layer1",
                "layer2": ("layer2", "last", nn.GELU()),
                CLASSIFIER: (First(), "fc"),
            },
        )


Network = ResidualNet | TokenNet


@dataclass(frozen=True)
class Planted:
    """A backbone in which a fault may be planted: its spec, and how its network is made and cut."""

    kind: type[Network]
    spec: BackboneSpec
    make: Callable[[int], Any]
    cut: Callable[[Any], Any] = lambda network: network.cut()
    before: Callable[[], object] = lambda: None

    def facts(self, **changes: Any) -> Planted:
        """The same with another fact in its spec."""
        return replace(self, spec=replace(self.spec, **changes))

    def networks(self, change: Callable[[Any], object]) -> Planted:
        """The same with a change of the network before it is cut."""

        def cut(network: Any) -> Any:
            change(network)
            return self.cut(network)

        return replace(self, cut=cut)

    def chains(self, change: Callable[[Chain], object]) -> Planted:
        """The same with a change of the chain."""

        def cut(network: Any) -> Any:
            chain = self.cut(network)
            change(chain)
            return chain

        return replace(self, cut=cut)

    def stages(self, forward: Callable[[Wrapped, Tensor], Any], stage: str = "layer1", **held: Any) -> Planted:
        """The same with a stage that computes `forward(wrapper, inputs)`, where `wrapper.inner` is the stage as it was."""

        def wrap(chain: Chain) -> None:
            chain._modules[stage] = Wrapped(chain.stage(stage), forward, held)
            chain.upstream_prefixes = {
                prefix.replace(f"{stage}.", f"{stage}.inner.", 1)
                if prefix.startswith(f"{stage}.")
                else prefix: published
                for prefix, published in chain.upstream_prefixes.items()
            }

        return self.chains(wrap)

    def module(self) -> ModuleType:
        """The plugin, importable until the test ends."""
        found: Any = ModuleType(MODULE)

        def build(options: Width) -> Chain:
            self.before()
            return self.cut(self.make(options.width))

        found.build = build
        found.reference = lambda options: self.kind(options.width)
        found.zoo_backbones = hookimpl(lambda: [self.spec])
        sys.modules[MODULE] = found
        return found


class Wrapped(nn.Module):
    """A stage that computes something else around the one that it was."""

    def __init__(self, inner: nn.Module, forward: Callable[[Wrapped, Tensor], Any], held: dict[str, Any]) -> None:
        super().__init__()
        self.inner = inner
        self.change = forward
        for name, make in held.items():
            make(self, name)

    def forward(self, x: Tensor) -> Any:
        return self.change(self, x)


def planted(kind: type[Network]) -> Planted:
    """A backbone without a fault."""
    half = (0.5, 0.5, 0.5)
    spec = BackboneSpec(
        name="planted",
        build=f"{MODULE}:build",
        reference=f"{MODULE}:reference",
        stages=STAGES,
        channels=4,
        stride=4,
        min_size=4,
        year=2026,
        paper=Paper(title="Planted", authors="A. Author", venue="Here", year=2026),
        preprocessing=Preprocessing(size=16, mean=half, std=half),
        params=sum(parameter.numel() for parameter in kind(4).parameters()),
        gmacs=None,
        options=Width,
        features=Layout("tokens", prefix=1) if kind is TokenNet else Layout(),
        size_step=4 if kind is TokenNet else 1,
    )
    return Planted(kind, spec, kind)


def failures_of(plugin: ModuleType) -> list[str]:
    """What the kit says of a plugin that is in this process alone."""
    found = []
    for check in plugin_checks(plugin):
        if "imports nothing heavy" not in check.name:  # looks from a process of its own
            try:
                check()
            except AssertionError as error:
                found.append(str(error))
    return found
