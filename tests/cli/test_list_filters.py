"""`zoo list` chooses among many backbones, and shows a large family as one line."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner

from zoo_core import listing
from zoo_core.cli import choosing, list_


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
        return ([*ROWS] if kind == "backbones" else here), []

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


def test_a_large_family_is_one_line_until_a_filter_chooses_from_it() -> None:
    text = run().stdout
    assert "vit-b" not in text
    line = next(line for line in text.splitlines() if line.startswith("vit: 4 backbones"))
    assert {"5.7 M - 300.0 M", "88.0", "zoo list --family vit"} <= {
        *line.split("  "),
        *map(str.strip, line.split("  ")),
    }
    assert "vit-b" in run("--family", "vit").stdout


def test_digits_do_not_stand_in_the_column_of_imagenet() -> None:
    assert "98.5" not in run().stdout


def test_weights_that_forbid_commercial_use_are_marked() -> None:
    text = run("--family", "vit").stdout
    assert [line.split()[0] for line in text.splitlines() if "a*" in line] == ["vit-l"]
    assert "* not for commercial use" in text


def test_nothing_that_passes_is_said_to_be_nothing() -> None:
    answer = run("--family", "cats")
    assert (answer.exit_code, answer.stdout) == (0, "")
    assert answer.stderr == "None of the backbones passes. `zoo list backbones` shows all.\n"


def test_a_filter_that_a_kind_lacks_is_refused() -> None:
    answer = run("heads", "--top1", "80")
    assert (answer.exit_code, "only backbones can be filtered" in answer.stderr) == (2, True)
    assert "'many' is not a number of parameters" in run("--max-params", "many").stderr
    assert isinstance(list_.list_, click.Command)
