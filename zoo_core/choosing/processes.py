"""Processes of this machine that train cells at the same time, and how many of them fit.

Each has a session of its own, so that a Ctrl-C reaches it once, through the executor. Killed with
-9, this process takes them along: each hears of its end, saves and stops.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

from zoo_core.devices.cores import limit_cores, usable_cores
from zoo_core.devices.free_memory import free_memory
from zoo_core.devices.kinds import kind_of
from zoo_core.errors import ZooError
from zoo_core.wording import counted, megabytes

T = TypeVar("T")

HAS_SESSIONS = hasattr(os, "setsid")
CORES = 4  # of one training: a rough mean, since a head alone uses one and a large network all
FEWEST = 4  # trainings of each process, whose start takes as long as a short one
MEMORY = 4 * 10**9  # bytes of one training; all of a ResNet-50 in batches of 32 took 3.7 GB
PRELOADED = ("zoo_core.choosing.elsewhere", "zoo_core.runs.plots")


def fitting(device: torch.device, cells: int) -> tuple[int, str]:
    """The number of trainings, of so many, that this machine takes at a time, and the reason."""
    if kind_of(device).is_accelerator:
        return 1, f"{device} is filled by one training"
    cores, memory = usable_cores(), free_memory()
    by_cores, by_cells = max(1, cores // CORES), max(1, cells // FEWEST)
    if memory is not None and memory // MEMORY < by_cores:
        return max(1, memory // MEMORY), f"{megabytes(memory)} of memory are free, and one may take {megabytes(MEMORY)}"
    if by_cells < by_cores:
        return by_cells, f"another process is worth its start for {FEWEST} trainings or more"
    return by_cores, f"one training may use {min(CORES, cores)} of the {counted(cores, 'core')}"


class LocalProcesses(ThreadPoolExecutor):
    """Calls functions in processes, each with its share of the cores. A process that dies fails its
    own call alone, and another takes its place.

    `shutdown(cancel_futures=True)` interrupts the calls that run.
    """

    def __init__(self, jobs: int) -> None:
        super().__init__(jobs, "zoo-job")
        self._jobs = jobs
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._is_cancelled = False

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return super().submit(self._call, function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            self._is_cancelled = True
            for worker in tuple(self._busy):
                worker.interrupt()
        super().shutdown(wait, cancel_futures=cancel_futures)
        while (idle := self._idle_worker()) is not None:
            idle.close()

    def _call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        worker = self._idle_worker() or _Worker(self._jobs)
        self._busy.add(worker)
        try:
            if self._is_cancelled:  # while it started
                raise CancelledError
            answer = worker.call(function, args, kwargs)
        finally:
            self._busy.discard(worker)
        self._idle.append(worker)
        if isinstance(answer, BaseException):
            raise answer
        result: T = answer
        return result

    def _idle_worker(self) -> _Worker | None:
        """An idle process that no other thread gets; None where there is none."""
        try:
            return self._idle.pop()
        except IndexError:
            return None


class _Worker:
    """A process that answers one call after the other, one of so many beside each other."""

    def __init__(self, jobs: int) -> None:
        context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
        if sys.platform == "linux":  # torch is imported once, by the server that forks
            context.set_forkserver_preload(list(PRELOADED))
        self.connection, theirs = context.Pipe()
        shares = torch.get_num_threads() // jobs, usable_cores() // jobs
        self.process = context.Process(target=_serve, args=(theirs, *shares), daemon=True)
        self.process.start()
        theirs.close()
        self._receive()  # it is ready: from now on an interrupt reaches it

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result, or the exception that it raised. Raises ZooError where the process died."""
        with suppress(OSError):
            self.connection.send((function, args, kwargs))
        return self._receive()

    def _receive(self) -> Any:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
            end = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise ZooError(f"the process was {end}; too little memory may be the reason (--jobs 1)") from None

    def interrupt(self) -> None:
        """Interrupt the call. Without sessions, on Windows, the console has done that itself, and a
        signal would kill the process before it has saved."""
        with suppress(ProcessLookupError):
            if HAS_SESSIONS:
                os.kill(self.process.pid, signal.SIGINT)

    def close(self) -> None:
        """End it; it waits for a call, and hears that none will come."""
        self.connection.close()
        self.process.join()


def _serve(connection: Connection, threads: int, cores: int) -> None:
    """Answer the calls that come through a connection, until it is closed, computing with so many
    threads and decoding on so many cores."""
    if HAS_SESSIONS:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    threading.Thread(target=_stop_with_parent, name="zoo-parent", daemon=True).start()
    torch.set_num_threads(max(1, threads))
    limit_cores(cores)
    with suppress(EOFError, KeyboardInterrupt):
        connection.send(None)
        while True:
            function, args, kwargs = connection.recv()
            try:
                answer = function(*args, **kwargs)
            except Exception as error:
                answer = error
            connection.send(answer)


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    signal.raise_signal(signal.SIGTERM)
