from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from zoo_core import HubFile, Paper, Preprocessing, TorchFile
from zoo_core.errors import PluginError
from zoo_core.result_specs import ExporterSpec, MetricSpec, TrackerSpec
from zoo_core.specs import BackboneSpec, FreezeSpec, HeadSpec, resolve

SPEC = BackboneSpec(
    name="net",
    build="package.module:net",
    stages=("stem", "body"),
    channels=8,
    stride=4,
    min_size=16,
    year=2026,
    paper=Paper(title="T", authors="A", venue="V", year=2026),
    preprocessing=Preprocessing(size=16, mean=(0.5,), std=(0.5,)),
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": -1}, "channels must be at least 1 and at most 1048576, got -1"),
        ({"channels": 10**30}, "channels must be at least 1 and at most 1048576"),
        ({"stride": float("nan")}, "stride must be at least 1 and at most 8192, got nan"),
        ({"min_size": 32.5}, "min_size must be at least 1 and at most 8192, got 32.5"),
        ({"gmacs": float("nan")}, "gmacs must be between 0 and"),
        ({"params": -5}, "params must be between 0 and"),
        ({"year": "2020"}, "year must be between"),
        ({"note": "x" * 2000}, "note must be a text of at most 1000 characters"),
        ({"note": 7}, "note must be a text"),
        ({"stages": ("a.b",)}, "'a.b' cannot be the name of a stage"),
        ({"stages": ("a", 7)}, "7 cannot be the name of a stage"),
        ({"stages": ("a\x1b[2J",)}, "cannot be the name of a stage"),
        ({"stages": ()}, "names no stages"),
        ({"stages": ("a", "a")}, "names a stage twice"),
        ({"stages": ("a", "classifier")}, "cannot name a stage"),
        ({"name": "My Net"}, "must be lower-case letters"),
        ({"build": "package.module.net"}, "is not an import path"),
    ],
)
def test_nonsense_in_a_backbone_spec_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(PluginError) as caught:
        replace(SPEC, **change)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda name: replace(SPEC, name=name), "auto"),
        (lambda name: HeadSpec(name=name, build="a:b", summary=""), "auto"),
        (lambda name: HeadSpec(name="mine", aliases=(name,), build="a:b", summary=""), "auto"),
        (lambda name: FreezeSpec(name=name, plan="a:b", summary=""), "auto"),
        (lambda name: MetricSpec(name=name, compute="a:b", summary=""), "auto"),
        (lambda name: TrackerSpec(name=name, start="a:b", summary=""), "auto"),
        (lambda name: TrackerSpec(name=name, start="a:b", summary=""), "none"),
        (lambda name: ExporterSpec(name=name, export="a:b", run="a:b", suffix=".x", summary=""), "torch"),
    ],
)
def test_a_name_that_is_a_word_of_the_setting_is_refused(make: Callable[[str], object], name: str) -> None:
    """Seen to fail: `--track none` and `--metric auto` never asked a plugin of that name, and `--head auto` was a
    ValueError."""
    assert make(f"{name}-1")
    with pytest.raises(PluginError, match=rf"the \w+ name '{name}' cannot be used: zoo takes .*{name}.* for words"):
        make(name)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (HubFile, {"repo": "../x"}, "not a repository"),
        (HubFile, {"repo": "a/b", "revision": "main"}, "is not a commit of 40 hex digits"),
        (HubFile, {"repo": "a/b", "file": "model.bin"}, "is not a .safetensors file"),
        (HubFile, {"repo": "a/b", "file": "../x.safetensors"}, "is not a .safetensors file inside"),
        (HubFile, {"repo": "a/b", "sha256": "12"}, "is not a sha256"),
        (TorchFile, {"file": "vgg16.pth"}, "does not end in its hash"),
        (Preprocessing, {"size": 0, "mean": (0.5,), "std": (0.5,)}, "size must be at least 1"),
        (Preprocessing, {"size": 8, "mean": (0.5, 0.5), "std": (0.5, 0.5)}, "1 or 3 channels"),
        (Preprocessing, {"size": 8, "mean": (0.5,), "std": (0.0,)}, "std must be positive"),
    ],
)
def test_nonsense_in_a_source_or_preprocessing_is_refused(
    kind: type, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(PluginError) as caught:
        kind(**settings)
    assert message in str(caught.value)


def test_a_builder_that_is_not_there_is_blamed_on_its_path() -> None:
    with pytest.raises(PluginError, match="'zoo_core.nowhere:net' cannot be imported"):
        resolve("zoo_core.nowhere:net")


@pytest.mark.parametrize("crop", [1e-300, 1e-6, 0.001, 0.09])
def test_a_crop_that_enlarges_an_image_beyond_sense_is_refused(crop: float) -> None:
    """Seen to fail: a stranger's config with 0.001 took 3 GB for an image of 32 pixels, with 1e-300 it was a traceback."""
    with pytest.raises(PluginError, match="the crop share must be"):
        Preprocessing(size=32, mean=(0.5,), std=(0.5,), crop=crop)
    with pytest.raises(PluginError, match="images of 81920 pixels are too large to be cropped to 8192"):
        Preprocessing(size=8192, mean=(0.5,), std=(0.5,), crop=0.1)
    assert Preprocessing(size=32, mean=(0.5,), std=(0.5,), crop=0.1).crop == 0.1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"features": "tokens"}, r"BackboneSpec 'net': features must be a Layout, got 'tokens'"),
        ({"preprocessing": None}, r"BackboneSpec 'net': preprocessing must be a Preprocessing, got None"),
        ({"stages": "ab"}, r"BackboneSpec 'net': stages must be a tuple, got 'ab'"),
        ({"build": None}, r"net: None is not an import path like 'package.module:name'"),
    ],
)
def test_a_field_of_another_type_is_named_when_the_spec_is_made(fields: dict[str, Any], message: str) -> None:
    """Seen to fail: the spec was made, and `zoo list` of everybody ended in an AttributeError."""
    with pytest.raises(PluginError, match=message):
        replace(SPEC, **fields)


def test_a_list_becomes_a_tuple_and_a_text_none() -> None:
    assert replace(SPEC, stages=["a", "b"]).stages == ("a", "b")
    assert Preprocessing(size=16, mean=[0.5], std=[0.5]).mean == (0.5,)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="HeadSpec 'mine': aliases must be a tuple, got 'xyz'"):
        HeadSpec(name="mine", build="a:b", summary="s", aliases="xyz")  # type: ignore[arg-type]
