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
from zoo_core.choosing.grid import settings_asked
from zoo_core.cli.main import zoo
from zoo_core.data.places import absolute_place, short_title, slug, with_places
from zoo_core.errors import UsageError
from zoo_core.evaluation import evaluate_run
from zoo_core.runs.differences import differences
from zoo_core.runs.directory import RunWriter, read_facts
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
    config = FinetuneConfig(backbone="lenet5", data=data, head="mlp:hidden=4", epochs=1, device="cpu", compile="off")
    result = finetune(config if data != "." else replace(config, out=str(tmp_path / "run")))
    if data != ".":
        assert str(result.directory) == "runs/lenet5-head-only-mlp-photos-1", "head and data stand in the name"
    out = here / result.directory
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


def test_words_that_name_no_file_stay_words_in_a_folder_with_files_of_these_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: beside a file "none" a training had a fix list, and was another training than elsewhere."""
    monkeypatch.chdir(tmp_path)
    for name in ("none", "default", "tag", "fix.csv"):
        (tmp_path / name).touch()
    config = FinetuneConfig(backbone="lenet5", data="fashion-small")
    for weights in ("default", "none"):
        assert with_places(replace(config, weights=weights)) == replace(config, weights=weights)
    tagged = replace(config, weights="tag", fix_list="fix.csv")
    assert with_places(tagged, tags=["tag"]) == replace(tagged, fix_list=f"{tmp_path}/fix.csv")
    assert with_places(tagged).weights == f"{tmp_path}/tag"
    assert "fix_list" not in settings_asked(config)


def test_a_forgotten_slash_behind_the_home_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: `--data ~Pictures` and its like ended in a traceback, RuntimeError, wherever a path is read."""
    monkeypatch.chdir(tmp_path)
    commands = (
        "finetune --backbone lenet5 --data ~Pictures",
        "finetune --backbone lenet5 --data wds:~Pictures/a.tar",
        "finetune --config ~Documents/zoo.toml",
        "finetune --backbone lenet5 --data photos --fix-list ~fix.csv",
        "compare --backbone lenet5,zfnet --data ~Pictures",
        "check ~Pictures",
        "embed lenet5 --data ~Pictures",
        "similar lenet5 photo.jpg --data ~Pictures",
        "resume ~runs",
        "predict ~runs photo.jpg",
        "predict lenet5 ~Pictures",
        "evaluate ~runs",
    )
    (tmp_path / "photo.jpg").touch()
    make_photos(tmp_path / "photos", count=1)
    for command in commands:
        with pytest.raises(UsageError, match=r"is no file here .* begins with '~/'"):
            zoo.main(command.split(), standalone_mode=False)
    for read in (absolute_place, lambda text: RunWriter.create(text, "run")):
        with pytest.raises(UsageError, match="begins with '~/'"):
            read("~runs")
    (tmp_path / "~Pictures").touch()  # as a shell means it too, where there is no such user
    assert absolute_place("~Pictures") == f"{tmp_path}/~Pictures"
    assert short_title("~nobody's") == "~nobody's"


def test_titles_are_short(tmp_path: Path) -> None:
    assert short_title(str(tmp_path)) == tmp_path.name
    assert short_title("/photos/a-{0..3}.tar") == "a-{0..3}.tar"
    assert short_title("fashion-small") == "fashion-small"
    assert slug("hf:owner/my photos:streaming=yes") == "hf-owner-my-photos-streaming-yes"
    assert slug(50 * "é") == 40 * "é"
    assert slug("..") == Path("..").resolve().name
    assert slug("{}") == "data"
