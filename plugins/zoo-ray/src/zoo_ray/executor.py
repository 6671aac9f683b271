"""Functions as tasks of a Ray cluster, behind the interface of concurrent.futures.

Ray's own rules hold: a task starts where its CPUs and GPUs are free, and one whose worker dies is not
tried again, because the comparison reports it.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import ray
from filelock import FileLock, Timeout

from zoo_core import ZooError
from zoo_ray.plugin import RayOptions

T = TypeVar("T")

LOCAL = "local"
PREFIX, LOCK = "zoo-ray-", "in-use"
ROOT = "/tmp"  # names of Ray's sockets begin with its folder, and may have 107 characters in all


class RayExecutor(Executor):
    """Runs functions on a cluster. `shutdown(cancel_futures=True)` interrupts those that run, and
    kills them at the second call."""

    def __init__(self, options: RayOptions) -> None:
        self._running: set[ray.ObjectRef] = set()
        self._is_cancelled = False
        _remove_leftovers()
        self._folder = tempfile.mkdtemp(prefix=PREFIX, dir=_root())
        self._lock = FileLock(os.path.join(self._folder, LOCK))
        self._lock.acquire()
        try:
            _connect(options.address, self._folder)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            self._remove_folder()
            raise ZooError(_unreachable(options.address, error)) from error
        self._task = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus, max_retries=0)(_call)

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        task = self._task.remote(function, args, kwargs)
        self._running.add(task)
        future: Future[T] = task.future()
        future.add_done_callback(lambda _: self._running.discard(task))  # a result is kept as long as its task
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            for task in tuple(self._running):
                ray.cancel(task, force=self._is_cancelled)
            self._is_cancelled = True
        if wait:
            running = list(self._running)
            if running:
                ray.wait(running, num_returns=len(running))
            ray.shutdown()
            self._remove_folder()

    def _remove_folder(self) -> None:
        self._lock.release()
        shutil.rmtree(self._folder, ignore_errors=True)


def start(options: RayOptions) -> RayExecutor:
    """Connect to the cluster that the options name. Raises ZooError where it does not answer."""
    return RayExecutor(options)


def _root() -> str:
    return ROOT if os.path.isdir(ROOT) else tempfile.gettempdir()


def _remove_leftovers() -> None:
    """Remove the folders of commands that were killed: those whose lock nobody holds."""
    for lock in Path(_root()).glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError, Timeout), FileLock(lock, timeout=0):
            shutil.rmtree(lock.parent, ignore_errors=True)


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # of a cluster started in the background it is ignored
    return function(*args, **kwargs)


def _connect(address: str, folder: str) -> None:
    """Connect, silently; a local cluster has no dashboard, sends no statistics, and writes its logs into `folder`."""
    handler = signal.getsignal(signal.SIGTERM)
    settings: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        settings |= {"include_dashboard": False, "_temp_dir": folder}
    ray.init(**settings)
    with suppress(ValueError):  # only the main thread has signals
        signal.signal(signal.SIGTERM, handler)  # Ray has put its own in its place


def _unreachable(address: str, error: Exception) -> str:
    reason = " ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__
    if address == LOCAL:
        return f"no Ray cluster could be started on this machine: {reason}."
    return (
        f"no Ray cluster answers at {address}: {reason}. `ray start` starts one or brings this machine "
        "into it, as its documentation says; --on ray:local starts one for this command."
    )
