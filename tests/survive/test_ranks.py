"""Row 5 in two processes over gloo: whatever learns, a run that was stopped ends with the same bytes.

Seen to fail: with the first process's random numbers for both; where a step may leave one image to each process, from
which batch normalisation cannot learn; where a process with less memory finds that out in a step, in which the other
waits for it (both waited for ever).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import make_photos
from survive.ranks import WAYS
from survive.support import history_of, weights_of

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("way", [pytest.param(way, marks=pytest.mark.whole if way == "cpu" else ()) for way in WAYS])
def test_runs_in_two_processes_go_on_and_end_with_the_same_bytes(way: str, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", count=9)
    for part in ("train", "test"):
        make_photos(tmp_path / "parts" / part, count=9)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    runs = tmp_path / "runs"
    runs.mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, TESTS / "survive" / "ranks.py", way, photos, tmp_path / "parts", runs],
            env={**os.environ, **here, "RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": str(TESTS)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(told)
    if way == "memory":
        assert "another process has less memory: going on with 3 images at once (--micro-batch 3)" in told[0]
        assert "another process has less memory: turning on gradient checkpointing" in told[0]
    pairs = {case: (runs / f"{case}-whole", runs / f"{case}-stopped") for case in WAYS[way]}
    assert [case for case, pair in pairs.items() if weights_of(pair[0]) != weights_of(pair[1])] == []
    assert [case for case, pair in pairs.items() if history_of(pair[0]) != history_of(pair[1])] == []
