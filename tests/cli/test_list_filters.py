"""`zoo list` chooses among many backbones, and shows a large family as one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from registry.support import entry, index_of
from zoo_core import listing
from zoo_core.catalog import Catalog
from zoo_core.cli import choosing, common, list_
from zoo_core.cli.plugin_search import search
from zoo_core.registry import replace_index


def row(
    name: str, family: str, params: int | None, top1: float | None, year: int | None, licence: str
) -> dict[str, Any]:
    commercial = "nc" not in licence
    weights = [{"tag": "a", "top1": top1, "imagenet": name != "digits", "licence": licence, "commercial": commercial}]
    facts = {"name": name, "family": family, "params": params, "gmacs": 1.0, "year": year, "size": 224}
    return {
        **facts,
        "features": "map",
        "stages": ["stem"],
        "weights": weights,
        "plugin": "zoo-x",
        "plugin_version": "1",
    }


ROWS = [
    row("digits", "", 60_000, 98.5, 1998, "mit"),
    row("vit-b", "vit", 86_000_000, 85.1, 2020, "apache-2.0"),
    row("vit-l", "vit", 300_000_000, 88.0, 2020, "cc-by-nc-4.0"),
    row("vit-s", "vit", 22_000_000, 81.4, 2020, "apache-2.0"),
    row("vit-t", "vit", 5_700_000, 75.5, 2020, "apache-2.0"),
    row("wide", "wide", None, None, None, "bsd-3-clause"),
]


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(kind: str, *, with_plugins: bool) -> tuple[listing.Rows, list[str]]:
        here = [{"backbone": "vit-t", "cached": True}, {"backbone": "vit-s", "cached": False}]
        return ([*ROWS] if kind in ("backbones", "details") else here), []

    monkeypatch.setattr(list_, "listed", listed)
    monkeypatch.setattr(choosing, "listed", listed)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(list_.list_, arguments, obj={"with_plugins": True})


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--family", "vit"], ["vit-b", "vit-l", "vit-s", "vit-t"]),
        (["backbones", "VIT-"], ["vit-b", "vit-l", "vit-s", "vit-t"]),
        (["--max-params", "25M"], ["digits", "vit-s", "vit-t"]),
        (["--top1", "80"], ["vit-b", "vit-l", "vit-s"]),
        (["--year", "2000"], ["vit-b", "vit-l", "vit-s", "vit-t"]),
        (["--licence", "apache", "--sort", "params"], ["vit-t", "vit-s", "vit-b"]),
        (["--sort", "top1"], ["vit-l", "vit-b", "vit-s", "vit-t", "digits", "wide"]),
        (["--cached"], ["vit-t"]),
    ],
)
def test_filters_choose_and_sort(arguments: list[str], names: list[str]) -> None:
    answer = run(*arguments, "--json")
    assert [one["name"] for one in json.loads(answer.stdout)["backbones"]] == names


def test_a_large_family_is_one_line_on_a_terminal_until_a_filter_chooses_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "vit-b" in run().stdout, "in a pipe each backbone has its row"
    monkeypatch.setattr(list_, "on_terminal", lambda: True)
    text = run().stdout
    assert "vit-b" not in text
    line = next(line for line in text.splitlines() if line.startswith("vit: 4 backbones*"))
    assert {"5.7 M - 300.0 M", "88.0", "zoo list --family vit"} <= {
        *line.split("  "),
        *map(str.strip, line.split("  ")),
    }
    assert "vit-b" in run("--family", "vit").stdout


def test_a_plugin_with_many_backbones_shows_every_family_as_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [
        row("a-1", "a", 1, 1.0, 2020, "mit"),
        row("a-2", "a", 2, 1.0, 2020, "mit"),
        row("b-1", "b", 1, 1.0, 2020, "mit"),
    ]
    assert choosing.folded(few) == few
    monkeypatch.setattr(choosing, "MANY", 2)
    assert [one.get("name", one["family"]) for one in choosing.folded(few)] == ["b-1", "a"]


def test_digits_do_not_stand_in_the_column_of_imagenet() -> None:
    assert "98.5" not in run().stdout


def test_weights_that_forbid_commercial_use_are_marked() -> None:
    text = run("--family", "vit").stdout
    assert [line.split()[0] for line in text.splitlines() if "a*" in line] == ["vit-l"]
    assert "* not for commercial use" in text


def test_weights_are_marked_in_their_own_list_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"backbone": "net", "tag": tag, "sources": ["hf:a/b"], "licence": licence, "commercial": commercial}
        | {"top1": None, "bytes": None, "cached": False}
        for tag, licence, commercial in (("free", "mit", True), ("bound", "cc-by-nc-4.0", False))
    ]
    monkeypatch.setattr(list_, "listed", lambda kind, with_plugins: (rows, []))
    text = run("weights").stdout
    assert ("bound*" in text, "free*" in text, "* not for commercial use" in text) == (True, False, True)


def test_the_details_of_a_backbone_are_those_of_its_spec(catalog: Catalog) -> None:
    (row,) = (row for row in listing.ROWS["details"](catalog) if row["name"] == "timm-vit_tiny_patch16_224")
    spec = catalog.backbone(row["name"]).spec
    assert (row["channels"], row["prefix"], row["size_step"]) == (192, 1, 16)
    assert row["preprocessing"]["crop"] == spec.preprocessing.crop
    assert row["weights"][0]["sources"] == [str(spec.weights[0].sources[0])]
    assert json.loads(json.dumps(row)).keys() > listing.ROWS["backbones"](catalog)[0].keys()


def test_nothing_that_passes_is_said_to_be_nothing() -> None:
    answer = run("--family", "cats")
    assert (answer.exit_code, answer.stdout) == (0, "")
    assert answer.stderr == "None of the backbones passes. `zoo list backbones` shows all.\n"


def test_a_filter_that_a_kind_lacks_is_refused() -> None:
    answer = run("heads", "--top1", "80")
    assert (answer.exit_code, "only backbones can be filtered" in answer.stderr) == (2, True)
    assert "'many' is not a number of parameters" in run("--max-params", "many").stderr
    assert isinstance(list_.list_, click.Command)


@pytest.mark.parametrize(
    ("gmacs", "told"), [(0.0004165, "0.000416"), (11.5459, "11.5"), (999.7, "1000"), (1016.7, "1017")]
)
def test_operations_are_told_without_an_exponent(gmacs: float, told: str) -> None:
    assert list_._cells("backbones", {**ROWS[0], "gmacs": gmacs})[3] == told


@pytest.mark.parametrize(("height", "paged"), [(3, True), (100, False)])
def test_a_terminal_that_is_too_low_gets_pages(height: int, paged: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[str] = []
    monkeypatch.setattr(common, "_height", lambda: height)
    monkeypatch.setattr(click, "echo_via_pager", pages.append)
    told = run("--family", "vit", "--licence", "nc").stdout
    assert bool(pages) == paged
    assert "* not for commercial use" in "".join([told, *pages])
    assert "vit-l" in "".join([told, *pages])


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An index with a plugin that is not installed, and one that is."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    lenet = entry("zoo-lenet", install="https://example.org/zoo-lenet.zip")
    replace_index(index_of(entry(), lenet), "it")


def test_backbones_of_plugins_that_are_not_installed_are_listed_and_marked(others: None) -> None:
    rows = {one["name"]: one for one in json.loads(run("--available", "--json").stdout)["backbones"]}
    assert {name for name, one in rows.items() if not one["installed"]} == {"mini", "mini-plain"}
    assert rows["mini"].keys() == rows["digits"].keys()
    assert not rows["mini"]["weights"][0]["commercial"]
    text = run("--available", "--top1", "70", "--max-params", "1K").stdout
    assert "mini " in text
    assert "zoo-mini (not installed)" in text
    assert "mini-plain" not in text, "nobody knows its size"
    assert "`zoo plugin install NAME` installs a plugin." in text


def test_without_that_option_no_index_is_read(others: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_core.registry.known_plugins", lambda: pytest.fail("the index was read"))
    assert "mini" not in run("--year", "2026", "--json").stdout


def test_other_kinds_are_searched_for(others: None) -> None:
    answer = run("heads", "--available")
    assert (answer.exit_code, "`zoo plugin search` finds known plugins with heads" in answer.stderr) == (2, True)


def test_plugins_are_found_by_every_text_of_theirs(others: None) -> None:
    def found(*text: str) -> list[str]:
        answer = CliRunner().invoke(search, [*text, "--json"])
        return [one["distribution"] for one in json.loads(answer.stdout)["plugins"]]

    assert found("small NET") == ["zoo-lenet", "zoo-mini"]
    assert set(found()) > {"zoo-lenet", "zoo-mini", "zoo-vgg"}
    assert found("mini-plain") == ["zoo-lenet", "zoo-mini"]
    assert found("zoo-mini") == ["zoo-mini"]
    text = CliRunner().invoke(search, ["zoo-mini"]).stdout
    for told in ("backbones: mini, mini-plain", "MIT", "34 checks passed, 1 as", "no\n"):
        assert told in text
    assert CliRunner().invoke(search, ["\x1b[2J"]).stderr == (
        "No known plugin holds '\\x1b[2J'. `zoo plugin search` shows all.\n"
    )
