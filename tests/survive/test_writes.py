"""Row 2: a run that was killed at any of its writes goes on, and ends with the bytes of one that was not.

Every fsync, rename, mkdir, removal and writing of a file is counted in a run of two steps, each of which is saved; then the
run is killed before each of them in turn. Seen to fail: with a checkpoint written under its final name at once, and where
what the killed process left was not removed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from helpers import make_photos
from survive.support import Forks, history_of, weights_of

SETTINGS = (
    *("--backbone", "lenet5", "--strategy", "head-only", "--head", "linear:dropout=0.5", "--epochs", 2),
    *("--batch-size", 8, "--data", "../photos", "--save-every", 0, "--out", "run"),
)


def test_a_run_killed_at_any_write_ends_with_the_same_bytes(forks: Forks, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", count=5)
    (tmp_path / "whole").mkdir()
    whole = forks.zoo("finetune", *SETTINGS, cwd=tmp_path / "whole", count=True)
    assert whole.code == 0, whole.text
    assert whole.writes > 30, "the writes are no longer counted where they are"
    begun = 0
    for number in range(1, whole.writes + 1):
        cwd = tmp_path / f"at-{number}"
        cwd.mkdir()
        killed = forks.zoo("finetune", *SETTINGS, cwd=cwd, count=True, die_at=number)
        assert killed.code == -9, (number, killed)
        if (cwd / "run" / "config.json").exists():
            begun += 1
            ended = forks.zoo("resume", "run", cwd=cwd)
            assert ended.code == (2 if "is finished" in ended.text else 0), (number, ended.text)
            assert weights_of(cwd / "run") == weights_of(tmp_path / "whole" / "run"), number
            assert history_of(cwd / "run") == history_of(tmp_path / "whole" / "run"), number
        shutil.rmtree(cwd)
    assert begun > 0.7 * whole.writes  # the others came before the run's first file
