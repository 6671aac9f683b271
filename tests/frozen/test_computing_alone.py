"""Two runs that miss the same features: one computes, the other waits and can be stopped meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from zoo_core.devices.world import World
from zoo_core.frozen import computing_alone as module
from zoo_core.frozen.computing_alone import WAITING, computing_alone
from zoo_core.training.stopping import Interrupted


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileLock:
    """Another run that computes."""
    monkeypatch.setattr(module, "POLL", 0.01)
    lock = FileLock(tmp_path / "computing")
    lock.acquire()
    return lock


def test_a_run_waits_for_the_one_that_computes_says_so_once_and_looks_again(tmp_path: Path, other: FileLock) -> None:
    """Before, it waited in silence for as long as the other computed."""
    said: list[str] = []
    looks = iter((lambda: None, other.release))
    with computing_alone(tmp_path, 3, World(), lambda done, total: next(looks)(), said.append) as has_waited:
        assert has_waited
        assert not other.is_locked
        assert said == [WAITING]
    with computing_alone(tmp_path, 3, World(), lambda done, total: None, said.append) as has_waited:
        assert not has_waited
        assert len(said) == 1


def test_a_run_that_waits_can_be_stopped(tmp_path: Path, other: FileLock) -> None:
    def stop(done: int, total: int) -> None:
        assert (done, total) == (0, 3)
        raise Interrupted("interrupted", 2)

    with pytest.raises(Interrupted), computing_alone(tmp_path, 3, World(), stop, str):
        pass
    other.release()


def test_a_run_that_misses_nothing_waits_for_nobody(tmp_path: Path, other: FileLock) -> None:
    with computing_alone(tmp_path, 0, World(), lambda done, total: None, str) as has_waited:
        assert not has_waited
    other.release()
