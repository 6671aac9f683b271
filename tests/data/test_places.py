"""Relative paths of data and weights, and another current folder later.

Reported: config.json kept the path as it was typed, and evaluate and resume looked for it in the wrong folder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers import make_photos
from zoo_core import FinetuneConfig, finetune
from zoo_core.catalog import Catalog
from zoo_core.data.places import absolute_place, short_title
from zoo_core.evaluation import evaluate_run
from zoo_core.runs.directory import read_facts
from zoo_core.runs.schema import differences
from zoo_core.training.job import prepare


@pytest.mark.parametrize("data", ["photos", "photos/../photos", "."])
def test_a_run_is_measured_and_resumed_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalog: Catalog, data: str
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    make_photos(tmp_path / "photos", count=4)
    (tmp_path / "elsewhere").mkdir()
    here = tmp_path / "photos" if data == "." else tmp_path
    monkeypatch.chdir(here)
    out = tmp_path / "run"
    result = finetune(FinetuneConfig(backbone="lenet5", data=data, epochs=1, device="cpu", compile="off", out=str(out)))
    facts = read_facts(out)
    assert facts.data.title == "photos"
    as_typed = replace(facts.config, data=data)  # as runs were written before
    assert differences(replace(facts, config=as_typed), prepare(as_typed, catalog).facts()) == []
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert differences(facts, prepare(facts.config, catalog).facts()) == []
    measured = evaluate_run(str(out), data=None, device="cpu", catalog=catalog)
    assert measured.evaluation.score == result.evaluation.score


def test_places_that_exist_become_absolute_and_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos.csv").write_text("")
    assert absolute_place("photos.csv") == f"{tmp_path}/photos.csv"
    assert absolute_place("wds:a-{0..3}.tar") == f"wds:{tmp_path}/a-{{0..3}}.tar"
    assert absolute_place("wds:a.tar:val=b.tar,disk_gb=3") == f"wds:{tmp_path}/a.tar:val={tmp_path}/b.tar,disk_gb=3"
    for place in (
        "fashion-small",
        "hf:owner/name",
        "wds:https://example.org/a.tar:val=https://example.org/b.tar",
        "no",
    ):
        assert absolute_place(place) == place


def test_titles_are_short(tmp_path: Path) -> None:
    assert short_title(str(tmp_path)) == tmp_path.name
    assert short_title("/photos/a-{0..3}.tar") == "a-{0..3}.tar"
    assert short_title("fashion-small") == "fashion-small"
