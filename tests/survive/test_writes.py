"""Row 2: a run that was killed at any of its writes goes on, and ends with the bytes of one that was not.

The folder as it is before every fsync, rename, mkdir, removal and writing of a file is kept in a run of two steps, each
of which is saved: that is what a kill there would leave, and the run is resumed from each that differs. Seen to fail: with
a checkpoint written under its final name at once, and where what the killed process left was not removed. A power cut is
not played; that all is on the disk before the name is, is seen to be so, and the test fails without any one of the four
syncs.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from helpers import make_photos
from survive.support import Forks, history_of, weights_of
from zoo_core.training import checkpoint

SETTINGS = (
    *("--backbone", "lenet5", "--strategy", "head-only", "--head", "linear:dropout=0.5", "--epochs", 2),
    *("--batch-size", 8, "--data", "../photos", "--save-every", 0, "--out", "run"),
)


def test_a_run_killed_at_any_write_ends_with_the_same_bytes(forks: Forks, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", count=5)
    for folder in ("whole", "states"):
        (tmp_path / folder).mkdir()
    whole = forks.zoo("finetune", *SETTINGS, cwd=tmp_path / "whole", states=tmp_path / "states")
    assert whole.code == 0, whole.text
    states = sorted((tmp_path / "states").iterdir())
    assert len(states) > 30, "the writes are no longer seen where they are"
    begun = [state for state in states if (state / "run" / "config.json").exists()]
    assert len(begun) > 0.7 * len(states)  # the others came before the run's first file
    tried = set()
    for state in begun:
        content = tuple(
            (path.relative_to(state), path.read_bytes()) for path in sorted(state.rglob("*")) if path.is_file()
        )
        if content in tried:
            continue
        tried.add(content)
        cwd = state.rename(tmp_path / f"at-{state.name}")  # the images are where they were
        ended = forks.zoo("resume", "run", cwd=cwd)
        assert ended.code == (2 if "is finished" in ended.text else 0), (state.name, ended.text)
        assert weights_of(cwd / "run") == weights_of(tmp_path / "whole" / "run"), state.name
        assert history_of(cwd / "run") == history_of(tmp_path / "whole" / "run"), state.name


def test_a_checkpoint_is_on_the_disk_before_its_name_is_and_its_name_before_the_old_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_rename, real_remove = checkpoint.sync, os.rename, shutil.rmtree

    def sync(path: Path) -> None:
        real_sync(path)
        done.append(f"sync {path.relative_to(tmp_path)}")

    def rename(source: Path, target: Path) -> None:
        real_rename(source, target)
        done.append(f"rename {source.name} {target.name}")

    def remove(path: Path, **more: object) -> None:
        if path.exists():
            done.append(f"remove {path.name}")
        real_remove(path, **more)

    monkeypatch.setattr(checkpoint, "sync", sync)
    monkeypatch.setattr(checkpoint.os, "rename", rename)
    monkeypatch.setattr(checkpoint.shutil, "rmtree", remove)
    for number in (1, 2):
        done.clear()
        checkpoint.write_checkpoint(
            tmp_path, number, checkpoint.Checkpoint({"weight": torch.ones(2)}, {"epoch": number})
        )
    aside = "checkpoints/.new-0000000002"
    assert done == [
        *(f"sync {aside}/tensors.safetensors", f"sync {aside}/state.json", f"sync {aside}"),
        *("rename .new-0000000002 0000000002", "sync checkpoints", "remove 0000000001"),
    ]
