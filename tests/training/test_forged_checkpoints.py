"""A checkpoint may come from a stranger: names, shapes, types and files are checked before any tensor is used.

Seen to fail, each resigned with the right hash: a moment of three numbers ran the optimizer's kernel over its end (SIGSEGV);
scalars were broadcast over weights and trained on; a missing moment changed the result; random states of another size ended
in a traceback; a pipe was waited for; links were followed.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import Tensor

from golden.support import FIXTURES
from golden.test_golden import made_here
from zoo_core.cli.main import zoo
from zoo_core.devices.world import World
from zoo_core.errors import TrainingError, ZooError
from zoo_core.model.lean_torch import without_compiler
from zoo_core.paths import sha256_of
from zoo_core.training import failing
from zoo_core.training.checkpoint import newest_checkpoint
from zoo_core.training.checkpoint_checks import check_optimizer
from zoo_core.training.failing import only_writer

Forge = Callable[[dict[str, Tensor], dict[str, object]], object]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An interrupted run, in the folder of its images."""
    shutil.copytree(FIXTURES, tmp_path / "golden")
    monkeypatch.chdir(tmp_path / "golden")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "golden" / "interrupted" / "lp-ft"
    made_here(folder)
    return folder


def checkpoint_of(run: Path) -> Path:
    (folder,) = (run / "checkpoints").iterdir()
    return folder


def forge(run: Path, change: Forge) -> None:
    folder = checkpoint_of(run)
    tensors, state = load_file(folder / "tensors.safetensors"), json.loads((folder / "state.json").read_text())
    change(tensors, state)
    save_file(tensors, folder / "tensors.safetensors")
    state["sha256"] = sha256_of(folder / "tensors.safetensors")
    (folder / "state.json").write_text(json.dumps(state))


def first(tensors: dict[str, Tensor], start: str, end: str = "") -> str:
    return next(name for name in tensors if name.startswith(start) and name.endswith(end) and tensors[name].ndim > 1)


def put(start: str, tensor: Callable[[Tensor], Tensor], end: str = "") -> Forge:
    def change(tensors: dict[str, Tensor], state: dict[str, object]) -> None:
        name = first(tensors, start, end)
        tensors[name] = tensor(tensors[name]).contiguous()

    return change


def drop(start: str, end: str = "") -> Forge:
    return lambda tensors, state: tensors.pop(first(tensors, start, end))


def replace_moments(tensors: dict[str, Tensor], name: str | None) -> None:
    """Leave the first moments, under another name, or none."""
    for path in [path for path in tensors if path.startswith("optimizer/")]:
        tensor = tensors.pop(path)
        if name is not None and path.endswith("exp_avg"):
            tensors[path.removesuffix("exp_avg") + name] = tensor


FORGERIES: dict[str, Forge] = {
    "short moment": put("optimizer/", lambda tensor: torch.zeros(3), "exp_avg"),
    "scalar moment": put("optimizer/", lambda tensor: torch.tensor(1.0), "exp_avg"),
    "moment of bytes": put("optimizer/", lambda tensor: tensor.to(torch.int8), "exp_avg"),
    "negative squares": put("optimizer/", lambda tensor: -torch.ones_like(tensor), "exp_avg_sq"),
    "missing moment": drop("optimizer/", "exp_avg"),
    "moment of nothing": lambda tensors, state: tensors.update({"optimizer/evil/exp_avg": torch.zeros(3)}),
    "moment of another optimizer": lambda tensors, state: tensors.update(
        {first(tensors, "optimizer/", "exp_avg").replace("exp_avg", "momentum_buffer"): torch.zeros(3)}
    ),
    "scalar weight": put("now/", lambda tensor: torch.tensor(0.5)),
    "transposed weight": put("now/", lambda tensor: tensor.transpose(0, 1)),
    "double weight": put("now/", lambda tensor: tensor.double()),
    "missing weight": drop("now/"),
    "scalar of the best": put("best/", lambda tensor: torch.tensor(0.5)),
    "missing of the best": drop("best/"),
    "scalar average": put("average/", lambda tensor: torch.tensor(0.5)),
    "negative count": lambda tensors, state: tensors.update({"average/steps": torch.tensor(-10)}),
    "unknown tensor": lambda tensors, state: tensors.update({"evil/x": torch.zeros(1)}),
    "short random state": lambda tensors, state: tensors.update({"random0/cpu": torch.zeros(5, dtype=torch.uint8)}),
    "random numbers as random state": lambda tensors, state: tensors.update(
        {"random0/cpu": torch.full_like(tensors["random0/cpu"], 255)}
    ),
    "missing random state": lambda tensors, state: tensors.pop("random0/cpu"),
    "lr": lambda tensors, state: state.update(lr=1e300),
    "negative lr": lambda tensors, state: state.update(lr=-1.0),
    "all moments of another optimizer": lambda tensors, state: replace_moments(tensors, "momentum_buffer"),
    "no moments": lambda tensors, state: replace_moments(tensors, None),
    "score": lambda tensors, state: state["history"][0].update(val_score=9e99),  # type: ignore[index]
    "metric": lambda tensors, state: state["history"][0].update(metric="\x1b[2J"),  # type: ignore[index]
    "micro batch": lambda tensors, state: state.update(micro_batch=10**30),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_checkpoint_is_refused_before_it_is_used(run: Path, forgery: str) -> None:
    forge(run, FORGERIES[forgery])
    ended = CliRunner().invoke(zoo, ["resume", "interrupted/lp-ft"])
    assert isinstance(ended.exception, TrainingError), (ended.exception, ended.output)
    assert "the newest checkpoint is not one of this run" in str(ended.exception)
    assert "Remove the folder checkpoints/" in str(ended.exception)


def test_the_state_of_another_optimizer_is_refused() -> None:
    moments = {"head/weight/momentum_buffer": torch.zeros(3)}
    weight = torch.nn.Parameter(torch.zeros(3))
    check_optimizer(moments, without_compiler(torch.optim.SGD)([weight], lr=0.1), has_stepped=True)
    with pytest.raises(ValueError, match="another optimizer than AdamW"):
        check_optimizer(moments, without_compiler(torch.optim.AdamW)([weight]), has_stepped=True)


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "link out", "endless"])
def test_only_regular_files_of_the_run_are_read(run: Path, tmp_path: Path, name: str, kind: str) -> None:
    path = checkpoint_of(run) / name
    path.rename(tmp_path / "moved")
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "moved" if kind == "link out" else "/dev/zero")
    with pytest.raises(TrainingError, match="is damaged, and there is no other"):
        newest_checkpoint(run, clean=False)


def test_a_checkpoint_that_cannot_be_opened_is_not_called_damaged(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("zoo_core.training.checkpoint.sha256_of", refused)
    with pytest.raises(TrainingError, match="cannot be read: .*ermission denied.* Nothing was changed"):
        newest_checkpoint(run, clean=True)
    assert checkpoint_of(run).is_dir()


@pytest.mark.parametrize("what", ["checkpoint", "checkpoints"])
def test_folders_of_checkpoints_are_no_links(run: Path, tmp_path: Path, what: str) -> None:
    folder = checkpoint_of(run) if what == "checkpoint" else run / "checkpoints"
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    if what == "checkpoint":
        assert newest_checkpoint(run, clean=True) is None
    else:
        with pytest.raises(TrainingError, match="checkpoints is a link"):
            newest_checkpoint(run, clean=True)
    assert any((tmp_path / "moved").iterdir())


def test_a_lock_that_leads_elsewhere_is_named(run: Path, tmp_path: Path) -> None:
    (run / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(ZooError, match=r"lp-ft/\.lock cannot be locked: .* Remove it\."), only_writer(run, World()):
        pass
    assert not (tmp_path / "precious").exists()


def test_a_run_that_cannot_be_written_to_is_named_and_no_lock_that_is_not_there(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: object, **settings: object) -> None:
        raise PermissionError(13, "Permission denied", str(run / ".lock"))

    monkeypatch.setattr(failing.FileLock, "acquire", refused)
    with (
        pytest.raises(ZooError, match=r"lp-ft cannot be written to: .*\. Make it writable\."),
        only_writer(run, World()),
    ):
        pass
