"""`zoo history` keeps the two kinds of error apart, names a source for each figure, and draws."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo
from zoo_core.history import history
from zoo_core.history.picture import draw_history
from zoo_core.specs import BackboneSpec

DOCS = Path(__file__).parents[2] / "docs"


def test_the_networks_come_in_order_of_year_with_the_error_of_their_own_weights(catalog: Catalog) -> None:
    told = history(catalog)
    assert [one.year for one in told.networks] == sorted(one.year for one in told.networks)
    by_name = {one.name: one for one in told.networks}
    assert by_name["alexnet"].top5_error == pytest.approx(100 - 79.066)
    assert by_name["lenet5"].top5_error is None, "digits are no images of ImageNet"
    assert (by_name["googlenet"].year, by_name["resnet50"].year) == (2014, 2015), "of the challenge, not of the paper"
    specs = {entry.spec.name: entry.spec for entry in catalog.entries(BackboneSpec)}
    families = {name: specs[name].paper for name in by_name}
    assert all(families.values())


def test_every_year_of_the_challenge_has_its_source_and_errors_only_fall(catalog: Catalog) -> None:
    years = history(catalog).challenge
    assert [one.year for one in years] == list(range(2010, 2018))
    assert all(one.source.startswith("https://") for one in years)
    errors = [one.error for one in years]
    assert errors == sorted(errors, reverse=True)
    assert all(one.outside < one.error for one in years if one.outside is not None)
    names = {entry.spec.name for entry in catalog.entries(BackboneSpec)}
    winners = {one.year: one.backbone for one in years if one.backbone}
    assert set(winners.values()) <= names
    assert winners == {2012: "alexnet", 2014: "googlenet", 2015: "resnet152"}


def test_the_page_and_the_command_tell_the_same_figures(catalog: Catalog) -> None:
    page = " ".join((DOCS / "history.md").read_text(encoding="utf-8").split())
    told = history(catalog)
    for year in ("2012", "2013", "2014"):
        (note,) = [note for note in told.notes if note.startswith(year)]
        assert set(re.findall(r"\d+\.\d+ %", note)) <= set(re.findall(r"\d+\.\d+ %", page))
    assert "3.57 %" in page
    assert "2.99 %" in page


def test_the_command_prints_every_network_and_writes_the_picture(tmp_path: Path) -> None:
    drawn = tmp_path / "history.svg"
    result = CliRunner().invoke(zoo, ["history", "-o", str(drawn)], catch_exceptions=False)
    assert result.exit_code == 0
    told = json.loads(CliRunner().invoke(zoo, ["history", "--json"]).stdout)
    assert {one["name"] for one in told["networks"]} <= set(result.output.split())
    assert "course notes often give" in result.output
    text = drawn.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert all(f"{one['year']}  {one['name']}" in text for one in told["networks"] if one["top5_error"])
    again = CliRunner().invoke(zoo, ["history", "-o", str(drawn)])
    assert "exists already" in str(again.exception)
    other = CliRunner().invoke(zoo, ["history", "-o", str(tmp_path / "history.pdf")])
    assert "a PNG or an SVG file" in str(other.exception)


def test_a_hostile_name_is_text_in_the_picture(tmp_path: Path, catalog: Catalog) -> None:
    """A name is checked where it comes from; the winner and the idea of an index might not be."""
    told = history(catalog)
    year = replace(told.challenge[0], winner='<script>$x_1$"</script>')
    for target in (tmp_path / "a.svg", tmp_path / "a.png"):
        draw_history(target, replace(told, networks=(), challenge=(year,)))
    assert "<script" not in (tmp_path / "a.svg").read_text(encoding="utf-8")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size[0] > 500


def test_without_plugins_the_challenge_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(zoo, ["--no-plugins", "history", "-o", str(tmp_path / "a.png")], catch_exceptions=False)
    assert "Trimps-Soushen" in result.output
