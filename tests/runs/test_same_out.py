"""Two commands with one --out: one of them runs, and the other harms nothing.

Reported: the second, refused by the lock, removed the config.json of the first, which ended after its first epoch because
its run directory was gone.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from helpers import make_photos
from zoo_core.catalog import Catalog
from zoo_core.devices.world import World
from zoo_core.errors import UsageError, ZooError
from zoo_core.runs.directory import RunWriter, is_run
from zoo_core.settings import FinetuneConfig
from zoo_core.training.callback import NullCallback
from zoo_core.training.failing import LOCK, is_written, only_writer
from zoo_core.training.job import Job, prepare
from zoo_core.training.run import run_job


@pytest.fixture
def job(tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    data = str(make_photos(tmp_path / "photos", count=3))
    config = FinetuneConfig(backbone="lenet5", data=data, epochs=1, device="cpu", out=str(tmp_path / "run"))
    return prepare(config, catalog)


@pytest.fixture
def second_looked_before(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second command looks at the directory before the first has written to it."""
    monkeypatch.setattr(RunWriter, "create", classmethod(lambda cls, out, name: cls(Path(out))))


@pytest.mark.usefixtures("second_looked_before")
def test_the_second_leaves_what_the_first_has_begun(job: Job, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    first = RunWriter(tmp_path / "run")
    with FileLock(tmp_path / "run" / ".lock"):
        first.write_facts(job.facts())
        with pytest.raises(ZooError, match="another process is writing to"):
            run_job(job, NullCallback())
        assert is_run(tmp_path / "run")
        first.add_metrics({"event": "epoch"})


@pytest.mark.usefixtures("second_looked_before")
def test_the_second_does_not_write_over_a_first_that_has_ended(job: Job, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    run_job(job, NullCallback())
    whole = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(UsageError, match="exists and is not empty. Give another --out"):
        run_job(replace(job), NullCallback())
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == whole


def test_a_run_that_fails_at_once_leaves_nothing(tmp_path: Path, job: Job) -> None:
    writer = RunWriter.create(str(tmp_path / "new"), "x")
    writer.write_facts(job.facts())
    writer.discard_unless_begun()
    assert not (tmp_path / "new").exists()


def test_a_writer_waits_for_whoever_only_looks(tmp_path: Path) -> None:
    looking = FileLock(tmp_path / LOCK, thread_local=False)
    looking.acquire()
    gone = threading.Timer(0.1, looking.release)
    gone.start()
    with only_writer(tmp_path, World()):
        assert is_written(tmp_path)
    gone.join()


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be removed there")
def test_a_lock_file_is_removed_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it is another's, who locked it after the release, and a third makes and locks a new one."""
    removed: list[bool] = []
    unlink = Path.unlink

    def looking(path: Path, missing_ok: bool = False) -> None:
        removed.append(is_written(tmp_path))
        unlink(path, missing_ok=missing_ok)

    with only_writer(tmp_path, World()):
        monkeypatch.setattr(Path, "unlink", looking)
    assert removed == [True]
    assert not (tmp_path / LOCK).exists()
