"""A comparison that is killed goes on: nothing that was finished is trained again, and a begun training is resumed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from helpers import make_photos
from survive.support import FINISHED, Forks

HEADS = "linear,mlp:hidden=4,mlp:hidden=8,cosine,flatten,logreg"
STRATEGIES = "full,last:1,last:2,head-only"
# A solved head has no labels to smooth: of the 24 cells that of logreg with head-only fails.
GRID = (
    *("compare", "--backbone", "lenet5", "--head", HEADS, "--strategy", STRATEGIES, "--label-smoothing", 0.1),
    *("--epochs", 2, "--batch-size", 4, "--data", "photos", "--save-every", 0, "--out", "grid"),
)
MIDDLE = "grid/last-1-cosine"  # the tenth cell


def told_lines(text: str) -> list[str]:
    """The lines of the trainings that ended."""
    return re.findall(r"^ *\d+/24  (.*): ", text, re.MULTILINE)


def test_a_grid_with_a_failing_cell_that_is_killed_in_the_middle_ends_complete(forks: Forks, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", count=5, size=28)
    killed = forks.zoo(*GRID, cwd=tmp_path, run=MIDDLE, kill_after=0.05)
    assert killed.code == -9, killed.text
    finished = {path.parent: path.stat().st_mtime_ns for path in (tmp_path / "grid").glob("*/model.safetensors")}
    created = json.loads((tmp_path / MIDDLE / "config.json").read_text())
    assert len(finished) == len(told_lines(killed.text)) == 9
    whole = forks.zoo(*GRID, cwd=tmp_path)
    assert whole.code == 1, whole.text
    assert "9 finished before" in whole.text
    lines = told_lines(whole.text)
    assert len(lines) == len(set(lines)) == 15
    assert not set(lines) & set(told_lines(killed.text))
    assert "head-only, logreg: failed: the head is solved" in whole.text
    runs = {path.parent for path in (tmp_path / "grid").glob("*/model.safetensors")}
    assert len(runs) == 23
    assert {run: (run / "model.safetensors").stat().st_mtime_ns for run in finished} == finished
    assert json.loads((tmp_path / MIDDLE / "config.json").read_text()) | {"created": ""} == created | {"created": ""}
    assert all({path.name for path in run.iterdir()} == set(FINISHED) for run in runs)
    comparison = json.loads((tmp_path / "grid" / "compare.json").read_text())
    assert (comparison["trainings"], comparison["planned"], len(comparison["failed"])) == (23, 24, 1)


def test_processes_end_with_the_comparison_that_is_killed_and_a_begun_training_is_resumed(
    forks: Forks, tmp_path: Path
) -> None:
    """Seen to fail: without the watch for their parent the processes trained on, and held their runs; a command that came
    while they saved failed, for another process was writing."""
    make_photos(tmp_path / "photos", count=20, size=28)
    # There are no weights of the second name: that cell fails at once.
    grid = ("compare", "--backbone", "lenet5", "--weights", "none,missing", "--strategy", "full", "--epochs", 25)
    rest = ("--batch-size", 2, "--data", "photos", "--patience", 25, "--out", "grid")
    killed = forks.zoo(*grid, *rest, "--jobs", 2, cwd=tmp_path, run="grid/none", kill_after=0)
    assert killed.code == -9, killed.text
    run = tmp_path / "grid" / "none"
    begun = json.loads((run / "config.json").read_text())["created"]
    whole = forks.zoo(*grid, *rest, cwd=tmp_path)
    assert re.search("1/2  from scratch: [0-9]", whole.text), whole.text
    assert (run / "model.safetensors").exists()
    assert json.loads((run / "config.json").read_text())["created"] == begun
