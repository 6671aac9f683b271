"""Odd names and bad images through the whole command: nothing breaks, nothing steers the terminal.

Row 38 on this side of the Hub: seen to fail where a folder without a config.json is read as a run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

import zoo_core
from helpers import Zoo, make_photos
from zoo_core.catalog import Catalog
from zoo_core.errors import UsageError
from zoo_core.evaluation import evaluate_run
from zoo_core.settings import FinetuneConfig
from zoo_core.training.callback import NullCallback
from zoo_core.training.run import resume

QUICK = ("--backbone", "lenet5", "--weights", "none", "--epochs", 1, "--image-size", 32)
ODD = ("猫 $x_1$", "[bold]red", "a|b`c`<img src=x>", "etc\\..\\..")


def test_odd_class_names_come_through_facts_card_pictures_and_answers(zoo: Zoo, tmp_path: Path) -> None:
    """Without the escapes the card had a broken table, the picture a formula, and the terminal bold letters."""
    photos = make_photos(tmp_path / "photos", classes=ODD, count=4)
    done = zoo("finetune", *QUICK, "--data", photos, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "config.json").read_text())["classes"] == sorted(ODD)
    rows = [line for line in (tmp_path / "run" / "README.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) == 5
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 7 for row in rows), "six columns"
    assert "\\[bold\\]red" in "".join(rows)
    answer = zoo("predict", "run", photos / ODD[1] / "0.jpg", "--top", 4)
    assert "[bold]red" in answer.stdout
    assert "猫 $x_1$" in answer.stdout
    assert "a|b`c`<img src=x>" in zoo("evaluate", "run").stdout


@pytest.mark.parametrize("data", [("--data", "wds:{}"), ("--data=wds:{}",)])
def test_a_pattern_of_shards_that_the_shell_has_read_is_refused(zoo: Zoo, data: tuple[str, ...]) -> None:
    """As `--data=...` the last shard alone would be taken, without a word."""
    expanded = [part.format(f"a-{number}.tar") for number in range(3) for part in (data if number == 0 else data[-1:])]
    refused = zoo("finetune", *QUICK, *expanded)
    assert refused.returncode == 2
    assert "Put it in quotes: --data 'wds:NAME-{0..9}.tar'" in refused.stderr


def test_names_of_files_and_folders_that_are_no_text_break_nothing(zoo: Zoo, tmp_path: Path) -> None:
    """Without the escapes the facts could not be written, and neither could any message with such a name."""
    photos = os.fsdecode(bytes(make_photos(tmp_path / "photos", count=4)) + b"\xff\x1b[2J")
    (tmp_path / "photos").rename(photos)
    Path(photos, "red", "1.png").rename(os.fsdecode(os.fsencode(photos) + b"/red/\xfe\n.png"))
    done = zoo("finetune", *QUICK, "--data", photos, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "\x1b[2J" not in done.stderr
    assert "\\udcff\\x1b[2J" in done.stderr.replace("\n", "")
    measured = zoo("evaluate", "run", "--json")
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout)["data"] == photos
    Path(photos, "red", "0.jpg").write_bytes(b"")
    refused = zoo("finetune", *QUICK, "--data", photos)
    assert (refused.returncode, "\x1b" in refused.stderr) == (1, False)
    assert "red/0.jpg is empty" in refused.stderr


def test_bad_images_end_the_command_before_it_begins_and_are_skipped_on_demand(
    zoo: Zoo, photos: Path, tmp_path: Path
) -> None:
    (photos / "red" / "0.jpg").write_bytes(b"")
    shutil.copy(photos / "red" / "1.png", photos / "blue" / "copy.png")
    (photos / ".git").mkdir()
    refused = zoo("finetune", *QUICK, "--data", photos)
    assert refused.returncode == 1
    assert refused.stderr.endswith(
        f"error: 1 image in {photos} cannot be used:\n  red/0.jpg is empty.\n"
        "Repair or remove them, or add --bad-images skip.\n".replace("empty.", "empty")
    )
    assert not (tmp_path / "runs").exists()
    done = zoo("finetune", *QUICK, "--data", photos, "--bad-images", "skip", "--out", "run")
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stderr.split())
    assert "ignored 1 folder .git" in told
    assert "skipped 1 that cannot be read" in told
    assert "note Contradiction" in told or "note Leakage" in told
    data = json.loads((tmp_path / "run" / "config.json").read_text())["data"]
    assert data["skipped"] == 1
    assert len(data["findings"]) == 1
    card = (tmp_path / "run" / "README.md").read_text()
    assert "- Images that could not be read and were left out: 1." in card
    assert data["findings"][0].split(":")[0] in card.partition("## Limits")[2]
    assert zoo("evaluate", "run").returncode == 0  # the same images are left out again


def test_looking_at_the_images_again_is_told_as_well(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    config = FinetuneConfig(
        backbone="lenet5", weights="none", data=str(photos), epochs=1, val_share=0.5, out=str(tmp_path / "run")
    )
    zoo_core.finetune(config, catalog=catalog)
    looked: list[tuple[int, int]] = []
    measured: list[tuple[int, int]] = []
    evaluate_run(
        str(tmp_path / "run"),
        data=None,
        device="cpu",
        catalog=catalog,
        scanning=lambda done, total: looked.append((done, total)),
        watch=lambda done, total: measured.append((done, total)),
    )
    assert looked == [(16, 20), (20, 20)]
    assert measured == [(8, 10), (10, 10)]  # in the groups that an evaluation computes at once
    (tmp_path / "run" / "model.safetensors").unlink()
    looked.clear()
    resume(tmp_path / "run", catalog, NullCallback(), scanning=lambda done, total: looked.append((done, total)))
    assert len(looked) == 2


@pytest.mark.parametrize("where", ["../../etc", "/etc", "..", "."])
def test_a_folder_that_is_no_run_is_said_to_be_none(where: str, catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="is not a run directory|there is no run directory"):
        zoo_core.load(where, catalog=catalog)


def test_a_name_of_the_users_own_steers_no_terminal(zoo: Zoo) -> None:
    """Without the escape the message cleared the screen on which it should have been read."""
    refused = zoo("info", "\x1b[2J")
    assert (refused.returncode, "\x1b" in refused.stderr, "'\\x1b[2J'" in refused.stderr) == (2, False, True)


def test_the_command_says_so_too(zoo: Zoo, photos: Path) -> None:
    refused = zoo("predict", "../../etc", photos / "red" / "0.jpg")
    assert (refused.returncode, "there is no run directory ../../etc" in refused.stderr) == (2, True)
