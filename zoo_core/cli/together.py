"""Starts the processes of `--devices N`, one per device, passes signals on to them, and ends with
their exit code."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from tempfile import TemporaryFile
from types import FrameType
from typing import IO

import click

from zoo_core.devices.cores import environment_of
from zoo_core.devices.launched import leave_closed_terminal, stopping_signals
from zoo_core.errors import LOST, ZooError, reason_of

GRACE = 10.0  # seconds for the other processes to end by themselves after one has failed
MEETING = "127.0.0.1"
REACHED = 5.0  # seconds, of which an interface that is up takes less than a thousandth
LAUNCHED = "ZOO_LAUNCHED"
"""Set in the processes that `run_together` starts: their standard input is a pipe that the launcher
holds open."""


def run_together(devices: int) -> int:
    """Run this very command in `devices` processes; return the exit code of the first that failed,
    else 0.

    Only the first process prints. The output of another is shown if that one fails. Ctrl-C, SIGTERM
    and a closed terminal are passed on to all; each process has a session of its own, so that none
    hears of a Ctrl-C twice. Raises ZooError where they could not reach each other.
    """
    port = _free_port(devices)
    with ExitStack() as held:
        outputs = [None, *(held.enter_context(TemporaryFile()) for _ in range(1, devices))]
        processes = [held.enter_context(_start(rank, devices, port, outputs[rank])) for rank in range(devices)]
        return _run(processes, outputs)


def end_with_launcher() -> None:
    """In a process that `run_together` started: stop as on SIGTERM, saved first, when the launcher
    has ended.

    A launcher that is killed with -9 passes no signal on. Its end of the pipe is closed all the
    same.
    """
    if os.environ.pop(LAUNCHED, None) is None:
        return

    def wait_for_end() -> None:
        while os.read(0, 1024):
            pass
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=wait_for_end, name="zoo-launcher", daemon=True).start()


def _free_port(devices: int) -> int:
    """A port at which the processes can meet: it was connected to."""
    try:
        with socket.socket() as probe:
            probe.bind((MEETING, 0))
            probe.listen()
            socket.create_connection(probe.getsockname(), timeout=REACHED).close()
            port: int = probe.getsockname()[1]
            return port
    except OSError as error:
        raise ZooError(
            f"the {devices} processes cannot reach each other at {MEETING}: {reason_of(error)}. Bring this machine's "
            "loopback interface up (`ip link set lo up`), or leave out --devices."
        ) from error


def _run(processes: list[subprocess.Popen[bytes]], outputs: Sequence[IO[bytes] | None]) -> int:
    def pass_on(signum: int, frame: FrameType | None) -> None:
        leave_closed_terminal(signum)
        for process in processes:
            with suppress(ValueError):  # Windows passes no Ctrl-C on: the console sends it to all of them itself
                process.send_signal(signum)

    for number in stopping_signals():
        signal.signal(number, pass_on)
    failed = _wait(processes)
    if failed is None:
        return 0
    code = processes[failed].returncode
    if code >= 0:
        _show(outputs[failed])
        return code
    click.echo(f"error: process {failed + 1} of {len(processes)} was killed by {signal.Signals(-code).name}.", err=True)
    if failed == 0:  # the one that prints: the output of another says how to go on
        _show(outputs[1])
    return 128 - code


def _show(output: IO[bytes] | None) -> None:
    """Print the output of a process that does not print itself."""
    if output is not None:
        output.seek(0)
        click.echo(output.read().decode(errors="replace").rstrip(), err=True)


def _start(rank: int, devices: int, port: int, errors: IO[bytes] | None) -> subprocess.Popen[bytes]:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": devices, "MASTER_ADDR": MEETING, "MASTER_PORT": port}
    return subprocess.Popen(
        # -P: without it the current folder comes first on the import path, and a torch.py that lies
        # there is run.
        [sys.executable, "-P", "-m", "zoo_core", *sys.argv[1:]],
        env={**environment_of(devices), **{name: str(value) for name, value in place.items()}, LAUNCHED: "1"},
        stdin=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
    )


def _wait(processes: list[subprocess.Popen[bytes]]) -> int | None:
    """Wait for all; the rank of the one that failed, None when none did. One that hangs after a
    failure is killed."""
    deadline: float | None = None
    hanging: list[subprocess.Popen[bytes]] = []
    while any(process.poll() is None for process in processes):
        if deadline is None and any(process.poll() for process in processes):
            deadline = time.monotonic() + GRACE
        if deadline is not None and time.monotonic() > deadline:
            hanging = [process for process in processes if process.poll() is None]
            for process in hanging:
                process.kill()
            break
        time.sleep(0.05)
    codes = [process.wait() for process in processes]
    by_themselves = [
        rank for rank, code in enumerate(codes) if code not in (0, LOST) and processes[rank] not in hanging
    ]
    return next(iter(by_themselves), next((rank for rank, code in enumerate(codes) if code), None))
