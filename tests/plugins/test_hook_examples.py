"""The example in each hook's docstring is a whole plugin: it loads, and the code that its specs name works."""

from __future__ import annotations

import importlib
import inspect
import random
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

import zoo_core
from zoo_core import BackboneSpec, Chain, Source, hookspecs, parse_options
from zoo_core.discovery import HOOKS, registered_specs
from zoo_core.specs import resolve
from zoo_core.testing import backbone_checks, build, tracked_run


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The plugin module of a hook's docstring, written to files and imported."""
    doc = inspect.getdoc(getattr(hookspecs, request.param))
    assert doc is not None
    files = re.findall(r"^# (\w+/\w+\.py)\n(.*?)(?=^# \w+/|\Z)", doc, re.MULTILINE | re.DOTALL)
    assert files, "the docstring has no file"
    package = files[0][0].split("/")[0]
    for name, text in [(f"{package}/__init__.py", ""), *files]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    return importlib.import_module(f"{package}.plugin")


@pytest.mark.parametrize(("example", "kind"), HOOKS.items(), indirect=["example"], ids=list(HOOKS))
def test_every_hooks_example_registersregistered_specs_its_kind(example: ModuleType, kind: type) -> None:
    specs, left_out = registered_specs(example)
    assert not left_out
    assert specs
    assert all(isinstance(spec, kind) for spec in specs)


@pytest.mark.parametrize("example", ["zoo_backbones"], indirect=True)
def test_the_examples_backbones_pass_the_conformance_kit_each_as_its_own_variant(example: ModuleType) -> None:
    for check in backbone_checks(example, slow=False):
        if "imports nothing heavy" not in check.name:  # in another process, where the example is not
            check()
    small, large = (build(spec) for spec in example.zoo_backbones())
    assert small.stage("body")[0].out_channels == 32
    assert large.stage("body")[0].out_channels == 64


@pytest.mark.parametrize("example", ["zoo_heads"], indirect=True)
def test_the_examples_head_maps_features_to_outputs(example: ModuleType) -> None:
    (spec,) = example.zoo_heads()
    head = resolve(spec.build)(parse_options(spec.name, spec.options, "8"), in_channels=6, num_outputs=3)
    assert head(torch.zeros(2, 6, 4, 4)).shape == (2, 3)


@pytest.mark.parametrize("example", ["zoo_strategies"], indirect=True)
def test_the_examples_strategy_plans(example: ModuleType) -> None:
    (spec,) = example.zoo_strategies()
    plan = resolve(spec.plan)(parse_options(spec.name, spec.options, "b"), stages=("a", "b"), epochs=3)
    assert plan.trainable(plan.phases[0]) == ("b", "head")


@pytest.mark.parametrize("example", ["zoo_datasets"], indirect=True)
def test_the_examples_data_set_is_a_source_of_its_size(example: ModuleType) -> None:
    (spec,) = example.zoo_datasets()
    source = resolve(spec.load)()
    assert isinstance(source, Source)
    assert (len(source.parts["train"]), len(source.classes)) == (spec.images, spec.classes)
    assert source.with_validation(share=0.2, seed=0).parts["val"].targets.tolist().count(1) == 2


@pytest.mark.parametrize("example", ["zoo_commands"], indirect=True)
def test_the_examples_command_answers(example: ModuleType) -> None:
    (spec,) = example.zoo_commands()
    assert CliRunner().invoke(resolve(spec.command), ["Ada"]).output == "Hello Ada.\n"


CALLS: list[tuple[object, dict[str, object]]] = []


@dataclass(frozen=True)
class Widths:
    width: int = 4


def recording(options: Widths, **keywords: object) -> Chain:
    CALLS.append((options, keywords))
    return Chain({"stem": nn.Conv2d(3, 8, 1)})


def spec(**changes: object) -> BackboneSpec:
    half = (0.5, 0.5, 0.5)
    paper = zoo_core.Paper(title="t", authors="a", venue="v", year=2026)
    preprocessing = zoo_core.Preprocessing(size=16, mean=half, std=half)
    fixed = {"name": "x", "build": f"{__name__}:recording", "stages": ("stem",), "channels": 8, "stride": 1}
    return BackboneSpec(**fixed, min_size=8, year=2026, paper=paper, preprocessing=preprocessing, **changes)


def test_a_builder_is_told_its_variant_only_where_the_spec_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builders written before there were variants take the options alone."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    CALLS.clear()
    build(spec(options=Widths))
    build(spec(options=Widths, variant="large"))
    assert [(Widths(4), {}), (Widths(4), {"variant": "large"})] == CALLS


def _this_module() -> ModuleType:
    module = ModuleType(__name__)
    module.recording = recording  # type: ignore[attr-defined]
    return module


def test_a_variant_is_a_short_text() -> None:
    with pytest.raises(zoo_core.PluginError, match="backbone 'x': variant must be a text of at most"):
        spec(variant=3)


@pytest.mark.parametrize("example", ["zoo_metrics"], indirect=True)
def test_the_examples_metric_measures(example: ModuleType) -> None:
    (spec,) = example.zoo_metrics()
    answers_NK, targets_N = np.eye(2)[[0, 0, 1]], np.array([0, 1, 1])
    assert (
        resolve(spec.compute)(parse_options(spec.name, spec.options, ""), answers=answers_NK, targets=targets_N) == 0.5
    )


@pytest.mark.parametrize("example", ["zoo_augmentations"], indirect=True)
def test_the_examples_augmentation_turns(example: ModuleType) -> None:
    (spec,) = example.zoo_augmentations()
    image = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2))
    turned = {resolve(spec.apply)(None, image, random.Random(seed)).tobytes() for seed in range(20)}
    assert turned == {bytes(order) for order in ((0, 1, 2, 3), (1, 3, 0, 2), (3, 2, 1, 0), (2, 0, 3, 1))}


@pytest.mark.parametrize("example", ["zoo_runners"], indirect=True)
def test_the_examples_runner_is_an_executor(example: ModuleType) -> None:
    (spec,) = example.zoo_runners()
    with resolve(spec.start)(parse_options(spec.name, spec.options, "")) as executor:
        assert executor.submit(abs, -1).result() == 1


@pytest.mark.parametrize("example", ["zoo_trackers"], indirect=True)
def test_the_examples_tracker_writes_what_it_hears(example: ModuleType, tmp_path: Path) -> None:
    (spec,) = example.zoo_trackers()
    tracker = resolve(spec.start)(parse_options(spec.name, spec.options, ""), tracked_run(tmp_path / "tracking"))
    tracker.epoch(1, {"val_loss": 0.5})
    tracker.end("finished", {"accuracy": 1.0})
    first, *rest = Path(tracker.place).read_text().splitlines()
    assert first.startswith("trial from epoch 1 on: {'backbone': ")
    assert rest == ["epoch 1: {'val_loss': 0.5}", "finished: {'accuracy': 1.0}"]


@pytest.mark.parametrize("example", ["zoo_exporters"], indirect=True)
def test_the_examples_file_answers_as_the_network(example: ModuleType, tmp_path: Path) -> None:
    (spec,) = example.zoo_exporters()
    network, images_BCHW = nn.Flatten(), torch.randn(2, 3, 4, 4)
    options = parse_options(spec.name, spec.options, "")
    resolve(spec.export)(options, network=network, example_BCHW=images_BCHW, facts={}, path=tmp_path / "a.pt2")
    assert (resolve(spec.run)(tmp_path / "a.pt2")(images_BCHW.numpy()) == network(images_BCHW).numpy()).all()
