"""Bars that move. Seen to fail with the count given to rich under another name than `completed`, which it ignores."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

import zoo_core
from zoo_core import FinetuneConfig, NullCallback
from zoo_core.cli import common
from zoo_core.cli.cells import CellBar
from zoo_core.cli.running import TrainingScreen
from zoo_core.frozen.computing_alone import WAITING
from zoo_core.runs.epochs import EpochReport
from zoo_core.tasks import task_named
from zoo_core.testing import make_photos
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


def test_a_training_shows_its_loss_its_rate_and_its_speed_and_marks_the_best_epochs() -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    training = TrainingScreen(screen)
    training.epochs, training.metric = 30, task_named("classification").metric
    training.on_loss(0.5123, 0.00231, 12345.6)
    training.on_step(12, 2, 4)
    training.close()
    assert "epoch 12/30 loss 0.512 lr 0.0023 12,346 images/s" in screen.file.getvalue(), "whole, in 80 columns"
    training.screen = Console(file=io.StringIO(), width=80)
    for epoch, is_best in ((1, True), (2, False)):
        training.on_epoch(EpochReport(epoch, 1, 0.1, 0.5, 0.6, 0.7, "accuracy", 1.0, is_best))
    header, first, second = training.screen.file.getvalue().splitlines()
    assert header.endswith("seconds  * best so far")
    assert header.index("seconds") + len("seconds") == len(second) == len(first.removesuffix("  *"))


def test_the_callback_hears_the_running_loss_and_which_epochs_are_the_best(tmp_path: Path) -> None:
    class Hearing(NullCallback):
        def __init__(self) -> None:
            self.losses: list[tuple[float, float, float]] = []
            self.reports: list[EpochReport] = []

        def on_loss(self, loss: float, lr: float, images_per_second: float) -> None:
            self.losses.append((loss, lr, images_per_second))

        def on_epoch(self, report: EpochReport) -> None:
            self.reports.append(report)

    data, hearing = make_photos(tmp_path / "photos"), Hearing()
    config = FinetuneConfig(
        backbone="lenet5", data=str(data), epochs=3, batch_size=4, strategy="full", out=str(tmp_path / "run")
    )
    result = zoo_core.finetune(config, callback=hearing)
    assert len(hearing.losses) == 3 * 4, "16 images in batches of 4"
    assert [hearing.losses[4 * epoch + 3][0] for epoch in range(3)] == [one.train_loss for one in hearing.reports]
    assert all(speed > 0 for *_, speed in hearing.losses)
    assert [one.epoch for one in hearing.reports if one.is_best][-1] == result.trained.best


def test_a_narrow_table_cuts_no_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Seen to fail: `efficientnet_lite0` stood in two lines."""
    monkeypatch.setattr(common, "_width", lambda: 80)
    names = ["efficientnet_lite0", "vit_base_patch16_clip_quickgelu_224.metaclip_2pt5b", "lenet5"]
    rows = [
        [name, "2020", "4.7 M", "0.385", "75.1", "imagenet, imagenet-1k, in22k-ft-in1k", "zoo-efficientnet-lite"]
        for name in names
    ]
    common.print_columns(
        ("name", "year", "params", "GMACs", "top-1 %", "weights", "plugin"),
        rows,
        right={"year", "params", "GMACs", "top-1 %"},
    )
    shown = capsys.readouterr().out
    assert all(name in shown for name in names)
    assert "zoo-efficientnet-lite" in shown
    assert max(map(len, shown.splitlines())) <= 80


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
