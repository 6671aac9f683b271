"""`zoo advise` around its measurements: options, the clock, the executor, answers of other advice, words."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import pytest

from advising.support import advice_of
from helpers import make_photos, make_table
from zoo_core.advising import picture
from zoo_core.advising.advice import Advice, Situation
from zoo_core.advising.networks import Network, networks_named
from zoo_core.advising.report import set_aside
from zoo_core.advising.sample import open_sample
from zoo_core.catalog import Catalog
from zoo_core.choosing.folder import Folder
from zoo_core.cli.advising import show_advice
from zoo_core.cli.main import zoo
from zoo_core.drawing import Figure
from zoo_core.errors import DataError, UsageError, ZooError
from zoo_core.paths import json_text
from zoo_core.settings import FinetuneConfig


@pytest.fixture
def networks(catalog: Catalog) -> list[Network]:
    return networks_named(["lenet5", "efficientnet_lite0"], catalog)


class Session:
    """An advice that measures nothing; it knows its arguments."""

    arguments: ClassVar[dict[str, Any]] = {}
    stopped_by = None
    failures = ()

    def __init__(self, *_: object, **named: Any) -> None:
        type(self).arguments = named

    def advise(self, *_: object) -> Advice | None:
        return None


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("zoo_core.advising.session.Session", Session)
    with pytest.raises(ZooError, match="no network could be measured"):
        zoo.main(["advise", "--backbone", "lenet5", *map(str, arguments)], standalone_mode=False)


def test_the_clock_of_the_budget_starts_after_the_question_whether_to_fetch(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: the time in which somebody thought about --all was taken from the trials."""
    answered: list[float] = []
    monkeypatch.setattr("zoo_core.cli.advise._agree", lambda *_, **__: answered.append(time.monotonic()))
    monkeypatch.chdir(photos.parent)
    call(monkeypatch, "--data", photos)
    assert Session.arguments["started"] >= answered[0]


def test_no_executor_is_started_before_the_first_trial(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: machines were waiting while this one measured the networks."""

    def start(*_: object, **__: object) -> None:
        raise ZooError("started")

    monkeypatch.setattr("zoo_core.cli.advise.executor_for", start)
    monkeypatch.chdir(photos.parent)
    call(monkeypatch, "--data", photos)
    with pytest.raises(ZooError, match="started"):
        Session.arguments["executor"]()


def test_a_fix_list_and_the_fit_of_images_reach_the_sample_and_the_printed_commands(
    photos: Path, catalog: Catalog, networks: list[Network]
) -> None:
    """Seen to fail: advice had neither option, and counted the images that a fix list leaves out."""
    file = photos.parent / "fix.csv"
    file.write_text("path,class,finding,other,suggestion,decision\nred/0.jpg,red,blurred,,,drop\n")
    options = ["--data", str(photos), "--fix-list", str(file), "--fit", "pad"]
    command = zoo.get_command(None, "advise")  # type: ignore[arg-type]
    assert command is not None
    given = command.make_context("advise", [*options]).params
    config = FinetuneConfig(backbone="lenet5", data=str(photos), fix_list=given["fix_list"], fit=given["fit"])
    assert open_sample(config, catalog).available == 19
    advice = advice_of(networks, fix_list="fix.csv", fit="pad")
    for line in (advice.recommended.command, advice.doubts[0].command):
        assert line is not None
        assert "--fix-list fix.csv" in line
        assert "--fit pad" in line


def test_classes_that_are_written_as_numbers_are_classes_where_the_task_says_so(
    tmp_path: Path, networks: list[Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: the error named --task, which advice did not take."""
    table = make_table(tmp_path / "table", "path,digit", lambda kind, number: str(len(kind)), count=5)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="Give --task classification"):
        zoo.main(["advise", "--backbone", "lenet5", "--data", str(table)], standalone_mode=False)
    call(monkeypatch, "--data", table, "--task", "classification")
    assert "--task classification" in advice_of(networks, task="classification").recommended.command


def test_images_that_are_too_few_for_the_folds_have_a_next_step(tmp_path: Path, catalog: Catalog) -> None:
    """Seen to fail: "are too few for 5 folds" of a command without an option for folds."""
    config = FinetuneConfig(backbone="lenet5", data=str(make_photos(tmp_path / "photos", count=2)))
    with pytest.raises(DataError, match=r"4 different images are too few for 5 folds\. .* give it more images"):
        open_sample(config, catalog)
    (tmp_path / "photos" / "blue").rename(tmp_path / "blue")  # more images of one class are of no use
    with pytest.raises(DataError, match=r"has only the class 'red'\. A training needs at least two\.$"):
        open_sample(config, catalog)


def test_advice_on_other_choices_is_kept_under_another_name(tmp_path: Path, networks: list[Network]) -> None:
    folder, first = Folder(tmp_path), advice_of(networks[:1])
    (tmp_path / "advise.json").write_text(json_text({"asked": first.asked}))
    (tmp_path / "advise.png").touch()
    assert set_aside(folder, first) is None, "the same command goes on"
    assert set_aside(folder, advice_of(networks)) is None, "it has grown"
    aside = set_aside(folder, advice_of(networks, seed=3))
    assert aside is not None
    assert aside.is_file()
    assert aside.with_suffix(".png").is_file()
    assert not (tmp_path / "advise.json").exists()
    assert set_aside(folder, first) is None


def test_words_claim_no_more_than_there_is(networks: list[Network], capsys: pytest.CaptureFixture[str]) -> None:
    """Seen to fail: a picture that could not be drawn was named, and "-400 % of the mistakes" removed."""
    advice = advice_of(networks)
    show_advice(replace(advice, situation=replace(advice.situation, similarity=-4.0)), drawn=False)
    shown = capsys.readouterr().out
    assert "advise.png" not in shown
    assert "the last stage removes none of the mistakes" in shown
    show_advice(advice, drawn=True)
    assert "advise.png, advise.json" in capsys.readouterr().out


@pytest.mark.parametrize("similarity", [-1.0, 0.1, 0.3, 0.45, 0.5, 0.6, 0.8, 0.97])
def test_no_words_of_the_quadrants_lie_on_each_other(
    similarity: float, networks: list[Network], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: near the line of half "your images" was written over the rule of the quadrant below."""
    figures: list[Figure] = []
    monkeypatch.setattr(picture, "save_figure", lambda figure, target: figures.append(figure))
    advice = advice_of(networks)
    picture.draw(Path("advise.png"), replace(advice, situation=Situation(341, 3371, similarity)))
    figures[0].draw_without_rendering()
    boxes = [text.get_window_extent() for text in figures[0].axes[0].texts]
    assert len(boxes) == 5
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]


def test_a_short_budget_is_told_with_the_one_that_is_needed(
    networks: list[Network], capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen to fail: a budget of 308 minutes was named."""
    advice = advice_of(networks[1:])
    tuning = replace(advice.tuning, rungs=replace(advice.tuning.rungs, strategies=()))
    show_advice(replace(advice, tuning=tuning, budget_needed=15_400))
    shown = capsys.readouterr().out
    assert "--budget 6h tries all" in shown
    assert "It should reach about 90.0 %" in shown
