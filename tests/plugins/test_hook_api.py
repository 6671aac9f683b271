"""The promise of docs/hooks.md: a plugin for an earlier hook API works, one for a later one is refused in one line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.specifiers import SpecifierSet

import zoo_core
from zoo_core.catalog import open_catalog
from zoo_core.cli.main import zoo as command_line
from zoo_core.discovery import HOOKS, discover
from zoo_core.layout import Layout
from zoo_core.library import create_model
from zoo_core.registry import known_plugins
from zoo_core.specs import BackboneSpec, DatasetSpec, FreezeSpec, HeadSpec
from zoo_core.version import __version__
from zoo_core.weights_specs import Preprocessing

Install = Callable[..., Path]
PAGE = Path(__file__).parents[2] / "docs" / "hooks.md"

OLD = """
from dataclasses import dataclass
from torch import nn
from zoo_core import FROZEN, TRAINABLE, BackboneSpec, Chain, DatasetSpec, FreezeSpec, HeadSpec, Paper, Phase, Plan
from zoo_core import Preprocessing, hookimpl
@dataclass(frozen=True)
class Width:
    width: int = 4
def net(options):
    return Chain({"stem": nn.Conv2d(3, options.width, 3, stride=2, padding=1)})
def top(options, *, in_channels, num_outputs):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_outputs))
def top_only(options, *, stages, epochs):
    return Plan(stages=stages, phases=(Phase(epochs=epochs, rules=(*[FROZEN] * len(stages), TRAINABLE)),))
@hookimpl
def zoo_backbones():
    paper = Paper(title="Old", authors="A", venue="V", year=2020)
    half = Preprocessing(size=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    facts = dict(stages=("stem",), channels=4, stride=2, min_size=8, year=2020, paper=paper, options=Width)
    return [BackboneSpec(name="old-net", build="zoo_old:net", preprocessing=half, **facts)]
@hookimpl
def zoo_heads():
    return [HeadSpec(name="old-top", build="zoo_old:top", summary="one layer")]
@hookimpl
def zoo_strategies():
    return [FreezeSpec(name="old-plan", plan="zoo_old:top_only", summary="the head")]
@hookimpl
def zoo_datasets():
    facts = dict(summary="s", images=2, classes=2, licence="MIT", url="https://example.org")
    return [DatasetSpec(name="old-data", load="zoo_old:data", **facts)]
"""
"""A plugin as they were written for hook API 1, which had no word for it. It stays as it is."""

FIRST: dict[type, str] = {
    BackboneSpec: "name build stages channels stride min_size year paper preprocessing params gmacs weights ignored_keys "
    "options timm note",
    HeadSpec: "name build summary options tasks needs_size paper",
    FreezeSpec: "name plan summary options paper adapt",
    DatasetSpec: "name load summary images classes licence url",
    Preprocessing: "size crop interpolation mean std",
    Layout: "",
}
"""The fields of hook API 1, which had no Layout."""

HEAD = (
    "from zoo_core import HeadSpec, hookimpl\n@hookimpl\ndef zoo_heads():\n"
    "    return [HeadSpec(name='{name}', build='zoo_core.model.heads:linear', summary='s')]\n"
)
NEXT = zoo_core.HOOK_API + 1
FUTURE = {
    "a hook that this zoo lacks": f"HOOK_API = {NEXT}\n{HEAD}@hookimpl\ndef zoo_detectors():\n    return []\n",
    "a name that this zoo lacks": f"from zoo_core import DetectorSpec\n\nHOOK_API: int = {NEXT}\n{HEAD}",
    "nothing new": f"{HEAD}HOOK_API = {NEXT}\n",
}


def test_a_plugin_for_the_first_hook_api_goes_on_working(install: Install) -> None:
    install("zoo-old", OLD)
    (record,) = [record for record in discover() if record.distribution == "zoo-old"]
    assert (record.failure, record.left_out, record.hook_api) == (None, (), 1)
    assert [spec.name for spec in record.specs] == ["old-net", "old-top", "old-plan", "old-data"]
    model = create_model("old-net:width=4", num_classes=3, head="old-top", weights="none")
    assert model.head[-1].out_features == 3
    assert zoo_core.freeze(model, "old-plan").plan.phases[0].rules[-1] == zoo_core.TRAINABLE


@pytest.mark.parametrize("code", FUTURE.values(), ids=FUTURE)
def test_a_plugin_for_a_later_hook_api_is_refused_in_one_line_and_the_others_work(install: Install, code: str) -> None:
    """Seen to fail: it said "unknown hook 'zoo_detectors'", or "cannot import name 'DetectorSpec'", or worked by luck."""
    install("zoo-a", HEAD.format(name="good-a"))
    install("zoo-future", code.format(name="new"), version="9.1")
    install("zoo-z", HEAD.format(name="good-z"))
    catalog = open_catalog()
    assert [line for line in catalog.warnings if "future" in line or "good" in line] == [
        f"the plugin zoo-future was skipped: version 9.1 was written for hook API {NEXT}, and zoo-core {__version__} "
        f"has {zoo_core.HOOK_API}. Update zoo-core, or `pip uninstall zoo-future` and install an older one"
    ]
    assert (catalog.head("good-a").spec.name, catalog.head("good-z").spec.name) == ("good-a", "good-z")


@pytest.mark.parametrize("stated", ["0", "-1", "'2'", "True", "None", "2.0"])
def test_a_hook_api_that_is_no_whole_number_is_blamed(install: Install, stated: str) -> None:
    install("zoo-odd", f"HOOK_API = {stated}\n{HEAD.format(name='odd')}")
    (record,) = [record for record in discover() if record.distribution == "zoo-odd"]
    assert record.failure == f"its HOOK_API is {stated}, not a whole number from 1 on"


def test_a_plugin_that_fails_for_another_reason_keeps_that_reason(install: Install) -> None:
    install("zoo-bad", f"import a_module_that_is_not_there\nHOOK_API = {zoo_core.HOOK_API}\n")
    (record,) = [record for record in discover() if record.distribution == "zoo-bad"]
    assert record.failure == "ModuleNotFoundError: No module named 'a_module_that_is_not_there'"


def test_the_page_has_every_version_and_every_hook() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(version) for version, _ in rows] == list(range(1, zoo_core.HOOK_API + 1))
    assert re.findall(r"`(zoo_\w+)`", " ".join(hooks for _, hooks in rows)) == list(HOOKS)


def later_fields() -> dict[str, int]:
    """The fields that came after version 1, as `Spec.field`, and their versions, as the page has them."""
    rows = re.findall(r"^\| (\d+) \| .*? \| (.*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    lists = [(version, one) for version, cell in rows for one in cell.split("; ") if one.startswith("in ")]
    named = [(version, re.findall(r"`(\w+)`", one)) for version, one in lists]
    return {f"{spec}.{field}": int(version) for version, (spec, *fields) in named for field in fields}


def test_the_page_has_every_field_that_came_later() -> None:
    """Seen to fail: `Preprocessing.fit` and `Layout.class_token` were not there."""
    now = {f"{spec.__name__}.{one.name}" for spec in FIRST for one in dataclasses.fields(spec)}
    first = {f"{spec.__name__}.{name}" for spec, names in FIRST.items() for name in names.split()}
    assert sorted(now - first) == sorted(later_fields())


def test_the_first_party_plugins_state_the_version_that_they_need() -> None:
    """Seen to fail: six of them set `variant` or `reference`, stated nothing and went with zoo 0.1, which has neither."""
    later = later_fields()
    for record in discover():
        for spec in record.specs:
            used = {f"{type(spec).__name__}.{one.name}" for one in dataclasses.fields(spec) if is_set(spec, one)}
            needed = max((later[name] for name in used & set(later)), default=1)
            assert (record.hook_api or 0) >= needed, (record.distribution, spec.name, needed)
        release = known_plugins().named(record.distribution)
        if release is not None and record.hook_api != 1:
            assert not SpecifierSet(release.releases[0].zoo).contains("0.1.0"), record.distribution


def is_set(spec: object, one: dataclasses.Field[object]) -> bool:
    return one.default is not dataclasses.MISSING and getattr(spec, one.name) != one.default


def test_plugins_shows_the_hook_api_in_json(install: Install) -> None:
    install("zoo-a", f"HOOK_API = 2\n{HEAD.format(name='good-a')}")
    answer = CliRunner().invoke(command_line, ["plugins", "--json"]).output
    assert re.search(r'"distribution": "zoo-a".*?"hook_api": 2', answer, re.DOTALL)
