"""Runs a command in several processes that train together, one a device, and passes on how they end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from tempfile import TemporaryFile
from types import FrameType
from typing import IO

import click

from zoo_core.errors import LOST

GRACE = 10.0  # seconds that the others have to end by themselves when one has failed


def is_one_of_several() -> bool:
    """Whether this process was started to train together with others, by us or by torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def run_together(devices: int) -> int:
    """Run this very command in so many processes; return the exit code of the first that failed, else 0.

    Only the first process speaks. What another says is shown when it was the one that failed. Ctrl-C and SIGTERM are
    passed on to all; the processes have sessions of their own, so that none hears of a Ctrl-C twice.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with ExitStack() as files:
        said = [files.enter_context(TemporaryFile()) for _ in range(1, devices)]
        return _run(devices, port, [None, *said])


def _run(devices: int, port: int, said: list[IO[bytes] | None]) -> int:
    processes = [_start(rank, devices, port, said[rank]) for rank in range(devices)]

    def pass_on(signum: int, frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(signum)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    failed = _wait(processes)
    if failed is None:
        return 0
    code = processes[failed].returncode
    if code >= 0:
        _show(said[failed])
        return code
    click.echo(f"error: process {failed + 1} of {devices} was killed by {signal.Signals(-code).name}.", err=True)
    if failed == 0:  # the one that speaks: another says how to go on
        _show(said[1])
    return 128 - code


def _show(words: IO[bytes] | None) -> None:
    """What a process that does not speak has said."""
    if words is not None:
        words.seek(0)
        click.echo(words.read().decode(errors="replace").rstrip(), err=True)


def _start(rank: int, devices: int, port: int, errors: IO[bytes] | None) -> subprocess.Popen[bytes]:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": devices, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return subprocess.Popen(
        [sys.executable, "-m", "zoo_core", *sys.argv[1:]],
        env={**os.environ, **{name: str(value) for name, value in place.items()}},
        stderr=errors,
        start_new_session=True,
    )


def _wait(processes: list[subprocess.Popen[bytes]]) -> int | None:
    """Wait for all; the rank of the one that failed, None when all is well. One that waits for it in vain is killed."""
    deadline: float | None = None
    in_vain: list[subprocess.Popen[bytes]] = []
    while any(process.poll() is None for process in processes):
        if deadline is None and any(process.poll() for process in processes):
            deadline = time.monotonic() + GRACE
        if deadline is not None and time.monotonic() > deadline:
            in_vain = [process for process in processes if process.poll() is None]
            for process in in_vain:
                process.kill()
            break
        time.sleep(0.05)
    codes = [process.wait() for process in processes]
    by_themselves = [
        rank for rank, code in enumerate(codes) if code not in (0, LOST) and processes[rank] not in in_vain
    ]
    return next(iter(by_themselves), next((rank for rank, code in enumerate(codes) if code), None))
