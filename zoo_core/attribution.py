"""Errors of plugins' code: each is told in one message that names the distribution, the file and
the line."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from zoo_core.errors import PluginError, Terminated, ZooError, interrupt_behind, is_out_of_memory, printable, reason_of
from zoo_core.installed import installed_plugins

P = ParamSpec("P")
T = TypeVar("T")

OWNER = "zoo_owner"
"""The attribute of a stage or head that names the distribution and the spec that built it; copies
keep it."""


def mark_owner(module: Any, owner: str | None) -> None:
    """Note in a torch module which plugin's spec built it."""
    vars(module)[OWNER] = owner


def marked_owner(module: Any) -> str | None:
    """The owner that a torch module was marked with."""
    owner: str | None = vars(module).get(OWNER)
    return owner


def plugin_error(error: BaseException) -> PluginError | None:
    """An error as one of the plugin whose code raised it, or whose network was being computed; None
    for zoo's own.

    The innermost frame of zoo or of a plugin decides. A full memory and an error that zoo has named
    are nobody's fault. Raises KeyboardInterrupt where a Ctrl-C, or Terminated where SIGTERM, led to it:
    a library that a plugin uses may hide one in an error of its own.
    """
    if isinstance(error, ZooError | BrokenPipeError) or not isinstance(error, Exception) or is_out_of_memory(error):
        return None
    packages = {plugin.value.partition(".")[0].strip(): plugin.distribution for plugin in installed_plugins()}
    distribution = owner = None
    where = ""
    for frame, line in reversed(list(_frames(error))):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in packages and distribution is None:
            distribution = packages[package]
            where = f" in {package}/{Path(frame.f_code.co_filename).name}, line {line}"
        owner = _owner_computing(frame)
        if owner is not None or package == "zoo_core":
            break
    subject = owner or distribution
    stop = interrupt_behind(error)
    if subject and stop is not None:
        raise (Terminated if isinstance(stop, Terminated) else KeyboardInterrupt) from error
    return PluginError(f"{printable(subject)} failed{where}: {reason_of(error)}.") if subject else None


@contextmanager
def naming_plugins() -> Iterator[None]:
    """Turn an error of a plugin's code into a PluginError that names the plugin; all others
    pass."""
    try:
        yield
    except Exception as error:
        named = plugin_error(error)
        if named is None:
            raise
        raise named from error


def names_plugins(function: Callable[P, T]) -> Callable[P, T]:
    """A function whose errors are as under `naming_plugins`."""

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        with naming_plugins():
            return function(*args, **kwargs)

    return called


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _owner_computing(frame: FrameType) -> str | None:
    """The owner of the stage or head whose method this frame is."""
    module = frame.f_locals.get("self")
    return vars(module).get(OWNER) if hasattr(module, "__dict__") else None
