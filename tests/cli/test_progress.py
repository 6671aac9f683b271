"""Bars that move. Seen to fail with the count given to rich under another name than `completed`, which it ignores."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from zoo_core.cli import common
from zoo_core.cli.cells import CellBar
from zoo_core.cli.running import TrainingScreen
from zoo_core.frozen.computing_alone import WAITING
from zoo_core.training.run import STOPPING


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100)


def test_the_bar_of_a_search_shows_its_share(screen: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "console", lambda error=False: screen)
    with common.progress_of("inspecting the images") as watch:
        watch(1, 4)
    assert "25 %" in screen.file.getvalue()


def test_the_bar_of_a_training_shows_its_share(screen: Console) -> None:
    training = TrainingScreen(screen)
    training.epochs = 2
    training.on_step(2, 2, 4)
    training.close()
    assert "epoch 2/2" in screen.file.getvalue()
    assert "75 %" in screen.file.getvalue()


def test_the_bar_of_one_cell_says_that_it_waits_or_stops_and_no_more() -> None:
    """Seen to fail: `zoo compare` stood still while another run computed the same features."""
    screen = Console(file=io.StringIO(), width=100)
    bar = CellBar(screen, "1 of 2")
    for text in (WAITING, STOPPING, "learning rate by trials"):
        bar.message(text)
    assert screen.file.getvalue().splitlines() == [WAITING, STOPPING]


def test_an_announcement_shows_a_text_from_outside_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: brackets of an argument were markup, and ended in a traceback."""
    screen = Console(file=io.StringIO(), force_terminal=True, color_system=None, highlight=False, width=100)
    monkeypatch.setattr(common, "console", lambda error=False: screen)
    common.announce("cutting torchvision:[/a]\x1b[2J into stages")
    assert r"cutting torchvision:[/a]\x1b[2J into stages ..." in screen.file.getvalue()


def test_a_bar_leaves_nothing_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: each bar left one or two empty lines."""
    log = Console(file=io.StringIO(), force_terminal=False, width=100)
    monkeypatch.setattr(common, "console", lambda error=False: log)
    with common.progress_of("inspecting the images") as watch:
        watch(4, 4)
    training = TrainingScreen(log)
    training.on_step(1, 4, 4)
    training.close()
    assert log.file.getvalue() == ""
