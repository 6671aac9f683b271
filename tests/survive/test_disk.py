"""Row 6: a disk that is full or read-only, an image or a run directory that vanishes. One message, and the run goes on.

Seen to fail: where the one before is removed first; where the run's folder is made again with the checkpoint's; where the
error of safetensors is not known; where what is kept in the cache does not fit, and the kernel's own words were all that was
said.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helpers import Zoo
from survive.support import weights_of
from zoo_core.catalog import Catalog
from zoo_core.errors import DataError, TrainingError, ZooError
from zoo_core.paths import write_text
from zoo_core.settings import FinetuneConfig
from zoo_core.training import checkpoint
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.run import resume, run_job

CONFIG = FinetuneConfig(backbone="lenet5", strategy="full", epochs=3, batch_size=4, save_every=0, views=0, workers=1)


@pytest.fixture
def config(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinetuneConfig:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return replace(CONFIG, data=str(photos), out=str(tmp_path / "run"))


class At(NullCallback):
    """Does something after a step, counted from the beginning of the run."""

    def __init__(self, at: int, act) -> None:
        self.at = at
        self.act = act

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        if (epoch - 1) * steps + step == self.at:
            self.act()


def ends_as_if_nothing_had_happened(config: FinetuneConfig, tmp_path: Path, catalog: Catalog) -> None:
    """Resume the run and compare it with one that was never stopped."""
    resume(tmp_path / "run", catalog, NullCallback())
    run_job(prepare(replace(config, out=str(tmp_path / "whole")), catalog), NullCallback())
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("name", ["save_file", "sha256_of", "sync"])
def test_what_the_disk_refuses_is_said_and_the_checkpoint_before_is_intact(
    config: FinetuneConfig, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch, pytest.raises(TrainingError) as caught:
        run_job(prepare(config, catalog), At(6, lambda: patch.setattr(checkpoint, name, refuse)))
    assert str(caught.value) == (
        f"a checkpoint could not be written to {tmp_path}/run/checkpoints: {os.strerror(number)}. The one before it is "
        f"untouched. Free space or make the folder writable, then go on with `zoo resume {tmp_path}/run`."
    )
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["0000000005"]
    ends_as_if_nothing_had_happened(config, tmp_path, catalog)


def test_a_file_that_may_not_grow_any_further_ends_with_one_message(
    config: FinetuneConfig, tmp_path: Path, catalog: Catalog
) -> None:
    """A real refusal by the kernel, in the midst of safetensors' own writing."""
    limited = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from zoo_core.training import trainer\n"
        "real = trainer.Trainer._save\n"
        "def save(self):\n"
        "    if self.state.epoch == 1: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "    real(self)\n"
        "trainer.Trainer._save = save\n"
        "from zoo_core.cli.main import main\n"
        "sys.argv = ['zoo', *sys.argv[1:]]\n"
        "main()\n"
    )
    arguments = ["finetune", "--backbone", "lenet5", "--strategy", "full", "--epochs", "3", "--batch-size", "4"]
    arguments += [
        "--save-every",
        "0",
        "--cached-views",
        "0",
        "--workers",
        "1",
        "--data",
        config.data,
        "--out",
        config.out,
    ]
    ended = subprocess.run([sys.executable, "-c", limited, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert f"error: a checkpoint could not be written to {config.out}/checkpoints: " in ended.stderr
    assert "File too large" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1
    ends_as_if_nothing_had_happened(config, tmp_path, catalog)


@pytest.mark.parametrize("name", ["metrics.jsonl", "README.md", "model.safetensors"])
def test_a_full_disk_at_the_end_of_a_run_costs_nothing(
    config: FinetuneConfig, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    real = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, target)

    with monkeypatch.context() as patch, pytest.raises(ZooError, match=f"{name} could not be written: No space left"):
        run_job(prepare(config, catalog), At(12, lambda: patch.setattr(Path, "replace", refuse)))
    ends_as_if_nothing_had_happened(config, tmp_path, catalog)


def refuse_cache(patch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Let a call of the system fail on what is kept in the cache, and on nothing else."""
    real = getattr(os, call)

    def refuse(handle: int, *more: object) -> object:
        if os.readlink(f"/proc/self/fd/{handle}").endswith("/rows"):
            raise OSError(number, os.strerror(number))
        return real(handle, *more)

    patch.setattr(os, call, refuse)


def test_a_cache_that_is_full_is_named_with_what_to_do(
    config: FinetuneConfig, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features come before the first epoch, so that nothing is lost and nothing is left."""
    config = replace(config, strategy="head-only", views=None)
    with monkeypatch.context() as patch:
        refuse_cache(patch, "write", errno.ENOSPC)
        with pytest.raises(TrainingError) as caught:
            run_job(prepare(config, catalog), NullCallback())
    assert str(caught.value).startswith(f"{tmp_path}/cache/features/")
    assert str(caught.value).endswith(
        "/rows cannot be read or written: No space left on device. Free space or make it writable (ZOO_CACHE names another "
        "cache folder), then start again."
    )
    assert not (tmp_path / "run").exists()
    run_job(prepare(config, catalog), NullCallback())
    shutil.rmtree(tmp_path / "cache")
    run_job(prepare(replace(config, out=str(tmp_path / "whole")), catalog), NullCallback())
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")


def test_a_cache_that_cannot_be_read_in_mid_run_is_named_with_the_command_that_goes_on(
    config: FinetuneConfig, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, strategy="head-only", views=None)
    with monkeypatch.context() as patch, pytest.raises(TrainingError) as caught:
        run_job(prepare(config, catalog), At(5, lambda: refuse_cache(patch, "pread", errno.EIO)))
    assert "/rows cannot be read or written: Input/output error. " in str(caught.value)
    assert str(caught.value).endswith(f", then go on with: zoo resume {tmp_path}/run")
    ends_as_if_nothing_had_happened(config, tmp_path, catalog)


def test_a_cache_folder_that_cannot_be_made_is_named(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", "/dev/null/cache")
    with pytest.raises(
        TrainingError, match="^/dev/null/cache.* cannot be read or written: Not a directory. Free space"
    ):
        run_job(prepare(replace(config, strategy="head-only", views=None), catalog), NullCallback())


def test_an_image_that_vanishes_is_named_and_the_run_goes_on_when_it_is_back(
    config: FinetuneConfig, tmp_path: Path, catalog: Catalog, photos: Path
) -> None:
    to_device = photos / "red"
    again = f"with the images as they were, go on with: zoo resume {tmp_path}/run"
    with pytest.raises(DataError, match=rf"red/\d\.(jpg|png) is not there\. .*{again}$"):
        run_job(prepare(replace(config, cache_gb=0), catalog), At(5, lambda: to_device.rename(tmp_path / "away")))
    assert list((tmp_path / "run" / "checkpoints").iterdir())
    with pytest.raises(ZooError):
        resume(tmp_path / "run", catalog, NullCallback())
    (tmp_path / "away").rename(to_device)
    ends_as_if_nothing_had_happened(replace(config, cache_gb=0), tmp_path, catalog)


@pytest.mark.parametrize("save_every", [0, 1000])
def test_a_run_directory_that_was_removed_is_said_and_not_made_again(
    config: FinetuneConfig, tmp_path: Path, catalog: Catalog, save_every: int
) -> None:
    config = replace(config, save_every=save_every)
    with pytest.raises(ZooError, match=f"the run directory {tmp_path}/run is gone, and nothing can be saved there"):
        run_job(prepare(config, catalog), At(5, lambda: shutil.rmtree(tmp_path / "run")))
    assert not (tmp_path / "run").exists()


def test_the_message_reaches_the_command_line(zoo: Zoo, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    answer = zoo("finetune", "--backbone", "lenet5", "--data", photos, "--out", tmp_path / "file" / "run")
    assert answer.returncode == 1
    assert "cannot be made: Not a directory" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("cache", "step"), [("taken", "name another cache folder in .* ZOO_CACHE"), ("elsewhere", "choose")]
)
def test_a_file_that_cannot_be_written_names_a_step_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str, step: str
) -> None:
    """Seen to fail: of a read-only home it was said to choose another place, and not how."""
    (tmp_path / "taken").write_bytes(b"")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / cache))
    with pytest.raises(ZooError, match=f"could not be written: .* Free space or {step}"):
        write_text(tmp_path / "taken" / "weights" / "a.json", "x")
