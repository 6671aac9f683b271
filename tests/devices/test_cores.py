"""The cores that this process may use: no more than those of which its container gets the time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from zoo_core.cli import together
from zoo_core.devices import cores
from zoo_core.devices.cores import THREADS, compute_within_share, quota, usable_cores
from zoo_core.training import threads
from zoo_core.training.threads import usual_threads


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    quota.cache_clear()


def system(root: Path, own: str, files: dict[str, str]) -> Path:
    """A system in which this process is in a group, with these files of groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(own)
    for name, text in files.items():
        (root / "sys/fs/cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "sys/fs/cgroup" / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/", {}, sys.maxsize),
        ("0::/", {"cpu.max": "max 100000\n"}, sys.maxsize),
        ("0::/", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/", {"cpu.max": "20000 100000\n"}, 1),
        ("0::/pods/mine", {"cpu.max": "max 100000\n", "pods/cpu.max": "400000 100000\n"}, 4),
        ("0::/pods/mine", {"pods/cpu.max": "400000 100000\n", "pods/mine/cpu.max": "300000 100000\n"}, 3),
        ("0::/pods/mine", {"pods/other/cpu.max": "100000 100000\n"}, sys.maxsize),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, sys.maxsize),
        ("1:cpu,cpuacct:/a", {"cpu/a/cpu.cfs_quota_us": "250000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 3),
        ("0::/", {"cpu.max": "nonsense"}, sys.maxsize),
        ("0::/", {"cpu.max": "100000 0\n"}, sys.maxsize),
    ],
)
def test_a_quota_of_the_group_or_of_one_around_it_counts(
    tmp_path: Path, own: str, files: dict[str, str], expected: int
) -> None:
    assert quota(system(tmp_path, own, files)) == expected


def test_no_more_cores_are_used_than_the_quota_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_cores", lambda: 64)
    monkeypatch.setattr(cores, "quota", lambda: 3)
    monkeypatch.setattr(threads, "quota", lambda: 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.delenv(THREADS, raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert usable_cores() == usual_threads() == 3
    compute_within_share()
    assert os.environ.pop(THREADS) == "3"
    monkeypatch.setenv(THREADS, "5")  # the user's own number
    compute_within_share()
    assert (os.environ[THREADS], usual_threads()) == ("5", 64)


@pytest.mark.parametrize(
    ("processes", "share"), [("1", 8), ("2", 4), ("3", 2), ("16", 1), ("0", 8), ("-2", 8), ("all", 8)]
)
def test_processes_that_train_together_share_the_cores(
    processes: str, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: each of two processes on a CPU computed with as many threads as there are cores."""
    monkeypatch.setattr(cores, "_cores", lambda: 8)
    monkeypatch.setattr(cores, "quota", lambda: sys.maxsize)
    monkeypatch.setenv(cores.SHARING, processes)
    monkeypatch.delenv(THREADS, raising=False)
    assert usable_cores() == share
    compute_within_share()
    assert os.environ.pop(THREADS, "8") == str(share)


@pytest.mark.parametrize("given", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}])
def test_threads_wait_briefly_unless_the_environment_says_how(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in cores.WAITING:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    cores.wait_briefly()
    found = {name: os.environ.pop(name) for name in cores.WAITING if name in os.environ}
    assert found == (given or {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"})


def test_a_quota_is_shared_by_the_processes_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: the number of threads that the launcher had chosen for itself was that of each."""
    monkeypatch.setattr(cores, "_cores", lambda: 64)
    monkeypatch.setattr(cores, "quota", lambda: 4)
    monkeypatch.delenv(THREADS, raising=False)
    compute_within_share()
    assert os.environ[THREADS] == "4"
    assert cores.environment_of(2).get(THREADS) is None
    with monkeypatch.context() as patched:
        started: list[dict[str, str]] = []
        patched.setattr(subprocess, "Popen", lambda command, *, env, **settings: started.append(env))
        together._start(0, 2, 1234, None)
    assert (THREADS in started[0], started[0][cores.SHARING]) == (False, "2")
    assert cores.environment_of(2)[cores.SHARING] == "2"
    monkeypatch.setenv(THREADS, "3")  # the user's own number
    assert cores.environment_of(2)[THREADS] == "3"


def test_without_a_quota_nothing_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "quota", lambda: sys.maxsize)
    monkeypatch.delenv(THREADS, raising=False)
    compute_within_share()
    assert THREADS not in os.environ


def test_the_command_decides_before_torch_is_imported() -> None:
    script = (
        "import sys; from zoo_core.devices import cores; cores.quota = lambda: 1; cores._cores = lambda: 4\n"
        "sys.argv = ['zoo', '--version']; import atexit, os\n"
        f"atexit.register(lambda: print(os.environ.get('{THREADS}'), 'torch' in sys.modules))\n"
        "from zoo_core.cli.main import main; main()"
    )
    plain = {name: value for name, value in os.environ.items() if name != THREADS}
    done = subprocess.run([sys.executable, "-c", script], env=plain, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1 False"
