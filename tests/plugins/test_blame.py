"""Faults of a plugin's networks, heads and options: each ends in one PluginError that names it, before any work if possible.

Seen to fail: every one ended in a bare traceback of torch, or of dataclasses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo_core
from helpers import make_photos
from zoo_core import BackboneSpec, Chain, FinetuneConfig, HeadSpec, NoOptions, Paper, PluginError, Preprocessing
from zoo_core.attribution import naming_plugins, plugin_error
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.discovery import PluginRecord
from zoo_core.model.assemble import build_network
from zoo_core.model.shapes import stage_shapes
from zoo_core.weights.load import build_empty, build_shapes

HALF = (0.5, 0.5, 0.5)
HELD = torch.ones(1, 8, 1, 1)
SPEC = BackboneSpec(
    name="net",
    build="zoo_blamed:build",
    stages=("stem", "body"),
    channels=8,
    stride=2,
    min_size=8,
    year=2026,
    paper=Paper(title="Net", authors="A", venue="V", year=2026),
    preprocessing=Preprocessing(size=16, mean=HALF, std=HALF),
)
HEAD = HeadSpec(name="top", build="zoo_blamed:head", summary="a head")


@dataclass(frozen=True)
class Width:
    width: int = 4
    extra: dict = None  # type: ignore[assignment, type-arg]


class Stage(nn.Module):
    """A stage that does something to its output."""

    def __init__(self, change: Callable[[Tensor], Any], held: Tensor | None = None) -> None:
        super().__init__()
        self.layer = nn.Conv2d(4, 8, 3, padding=1)
        self.change = change
        self.held = held

    def forward(self, inputs: Tensor) -> Any:
        outputs = self.change(self.layer(inputs))
        return outputs if self.held is None else outputs * self.held


def chain(body: nn.Module | None = None) -> Chain:
    return Chain({"stem": nn.Conv2d(3, 4, 3, stride=2, padding=1), "body": body or Stage(lambda x: x)})


def linear(in_channels: int, num_outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_outputs))


Install = Callable[..., Catalog]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """A catalog with a plugin whose builder and head are functions of the test."""

    def put(build: Callable[..., Any] = lambda options: chain(), head: Any = None, **changes: Any) -> Catalog:
        module = ModuleType("zoo_blamed")
        vars(module).update(build=build, head=head)
        monkeypatch.setitem(sys.modules, "zoo_blamed", module)
        record = PluginRecord("zoo-blamed", "1.0", "blamed", (replace(SPEC, **changes), HEAD))
        return Catalog((*open_catalog(with_plugins=False).records, record))

    return put


def prepared(catalog: Catalog, head: str = "linear", data: Any = "nowhere") -> None:
    zoo_core.finetune(FinetuneConfig(backbone="net", head=head, data=data, strategy="full", epochs=1), catalog=catalog)


BASES = {
    "other channels": (chain, {"channels": 16}, "puts out 8 channels, and its spec says 16"),
    "a classifier inside": (
        lambda: chain(Stage(lambda x: x.mean((2, 3)))),
        {},
        "puts out (B, 8), and a head needs a feature",
    ),
    "a tuple": (lambda: chain(Stage(lambda x: (x, 1))), {}, "its stage 'body' puts out a tuple"),
    "float64": (lambda: chain(Stage(Tensor.double)), {}, "its stage 'body' makes float64 of (1, 4, 8, 8)"),
    "bfloat16": (lambda: chain().bfloat16(), {}, "its stage 'stem' holds weight in bfloat16"),
    "a loose tensor": (
        lambda: chain(Stage(lambda x: x, HELD)),
        {},
        "held is a tensor that is no buffer: give it to register_buffer.",
    ),
    "grey images": (
        chain,
        {"preprocessing": Preprocessing(size=16, mean=(0.5,), std=(0.5,))},
        "its stage 'stem' fails for (1, 1, 16, 16): RuntimeError",
    ),
}


@pytest.mark.parametrize("fault", BASES)
def test_a_backbone_that_breaks_its_spec_is_named_before_the_data_are_opened(install: Install, fault: str) -> None:
    build, changes, message = BASES[fault]
    with pytest.raises(PluginError) as caught:
        prepared(install(lambda options: build(), **changes))
    assert str(caught.value).startswith("zoo-blamed: the backbone 'net'")
    assert message in str(caught.value)


HEADS = {
    "other outputs": (
        lambda c, k: linear(c, k + 1),
        "maps (B, 8, 8, 8) to (B, 3) in float32, and these data need (B, 2)",
    ),
    "a map": (lambda c, k: nn.Linear(c, k), "maps (B, 8, 8, 8) to (B, 8, 8, 2)"),
    "one dimension more": (lambda c, k: nn.Sequential(linear(c, k), nn.Unflatten(1, (k, 1))), "to (B, 2, 1)"),
    "another width": (lambda c, k: linear(c + 1, k), "fails for (2, 8, 8, 8): RuntimeError"),
    "no module": (lambda c, k: "x", "built a str, not a torch module."),
}


@pytest.mark.parametrize("fault", HEADS)
def test_a_head_that_puts_out_something_else_is_named_before_the_data_are_opened(install: Install, fault: str) -> None:
    build, message = HEADS[fault]
    catalog = install(head=lambda options, *, in_channels, num_outputs: build(in_channels, num_outputs))
    with pytest.raises(PluginError) as caught:
        prepared(catalog, head="top")
    assert str(caught.value).startswith("zoo-blamed: the head 'top'")
    assert message in str(caught.value)


def test_a_network_that_fails_under_way_is_named_with_its_reason(install: Install, tmp_path: Path) -> None:
    """Shapes cannot show it: only real images in channels_last do."""
    broken = Stage(lambda x: x.view(-1).view(x.shape))
    with pytest.raises(PluginError, match="zoo-blamed: the backbone 'net' failed: RuntimeError: view size is not"):
        prepared(install(lambda options: chain(broken)), data=make_photos(tmp_path / "photos", count=4, size=16))


def test_a_builder_that_changes_torchs_settings_changes_no_training(install: Install) -> None:
    def build(options: NoOptions) -> Chain:
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        return chain().float()

    build_network(install(build).backbone("net"))
    assert (torch.is_grad_enabled(), torch.get_default_dtype()) == (True, torch.float32)


def test_a_builder_that_reads_numbers_is_built_where_there_are_some(install: Install) -> None:
    """Seen to fail: on the meta device a tensor has no numbers, and the backbone could not be used at all."""

    def build(options: NoOptions) -> Chain:
        return chain(nn.Conv2d(4, int(torch.full((1,), 8).item()), 3))

    choice = install(build).backbone("net")
    assert {p.device.type for p in build_shapes(lambda: build_network(choice)).parameters()} == {"meta"}
    assert {p.device.type for p in build_empty(lambda: build_network(choice)).parameters()} == {"cpu"}


def test_integer_buffers_keep_their_type_where_shapes_are_inferred() -> None:
    """Seen to fail: networks with a table of positions died of "tensors used as indices must be long"."""

    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("index", torch.arange(4))

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs[:, self.index]

    assert stage_shapes(Chain({"stem": nn.Conv2d(3, 8, 1), "table": Table()}), 3, 8)["table"] == (4, 8, 8)


def test_an_option_of_a_type_that_no_text_can_give_is_the_plugins_fault(install: Install) -> None:
    catalog = install(options=Width)
    with pytest.raises(
        PluginError, match="'net': its option extra has the type <class 'dict'>, which no text can give"
    ):
        catalog.backbone("net:extra=1")


def test_an_error_of_zoo_itself_is_no_plugins() -> None:
    with pytest.raises(AttributeError) as caught:
        stage_shapes(None, 3, 8)  # type: ignore[arg-type]
    assert plugin_error(caught.value) is None


def test_a_ctrl_c_inside_a_plugin_is_the_users_whatever_hides_it() -> None:
    """Seen to fail: torch's exporter makes an error of its own of it, and the plugin was blamed with exit code 1."""
    module = ModuleType("zoo_lenet.made")
    source = (
        "def export():\n    try:\n        raise KeyboardInterrupt\n"
        "    except KeyboardInterrupt as error:\n        raise RuntimeError('failed to export') from error\n"
    )
    exec(source, vars(module))
    with pytest.raises(KeyboardInterrupt), naming_plugins():
        module.export()
