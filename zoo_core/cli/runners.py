"""`--on` and `--jobs`: the machines on which cells are trained, and how many at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo_core.catalog import Catalog, attributing_errors
from zoo_core.cli.common import announce
from zoo_core.cli.options import Option
from zoo_core.errors import UsageError, brief
from zoo_core.specs import resolve

if TYPE_CHECKING:
    from concurrent.futures import Executor

F = TypeVar("F", bound=Callable[..., Any])
GROUP = "Machines"
AUTO = "auto"


class Jobs(click.ParamType[Any]):
    """A number of processes, or auto."""

    name = "INTEGER|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value == AUTO:
            return AUTO
        return click.IntRange(1).convert(value, param, ctx)


def runner_options(command: F) -> F:
    """The options `--on` and `--jobs`."""
    on = click.option(
        "--on",
        cls=Option,
        group=GROUP,
        metavar="RUNNER",
        help="Train on other machines: ray:ADDRESS, or ray:local to try it. `zoo list runners` shows all.",
    )
    jobs = click.option(
        "--jobs",
        cls=Option,
        group=GROUP,
        type=Jobs(),
        default=AUTO,
        help="Trainings at a time on this machine; auto: as many as its memory and cores take.  [default: auto]",
    )
    return on(jobs(command))


@contextmanager
def executor_for(
    catalog: Catalog, on: str | None, jobs: int | str, *, device: str, cells: int, message: Callable[[str], None]
) -> Iterator[Executor | None]:
    """The executor of so many cells; None where this process trains them. `message` hears how many
    are trained at a time, and why.

    Raises UsageError for a runner that there is not, PluginError where its code fails, and ZooError
    where its machines cannot be reached.
    """
    if not cells:
        yield None
        return
    executor = _local(jobs, device, cells, message) if on is None else _remote(catalog, on, jobs, message)
    if executor is None:
        yield None
        return
    try:
        yield executor
    except BaseException:
        executor.shutdown(cancel_futures=True)
        raise
    executor.shutdown()


def _local(jobs: int | str, device: str, cells: int, message: Callable[[str], None]) -> Executor | None:
    from zoo_core.choosing.processes import LocalProcesses, fitting
    from zoo_core.devices.find import find_device

    if isinstance(jobs, int):
        count, reason = jobs, ""
    else:
        count, why = fitting(find_device(device), cells)
        reason = f": {why} (--jobs sets it)"
    count = min(count, cells)
    if cells > 1:
        message(f"{'one training' if count == 1 else f'{count} trainings'} at a time{reason}")
    return None if count == 1 else LocalProcesses(count)


def _remote(catalog: Catalog, on: str, jobs: int | str, message: Callable[[str], None]) -> Executor:
    from concurrent.futures import Executor

    choice = catalog.runner(on)
    if jobs != AUTO:
        raise UsageError(
            "--jobs counts processes of this machine; with --on the runner decides. Leave one of them out."
        )
    announce(f"starting {choice}")
    with attributing_errors(choice.entry):
        executor = resolve(choice.spec.start)(choice.options)
        if not isinstance(executor, Executor):
            raise TypeError(f"it gave {brief(executor)}, not a concurrent.futures.Executor")
    message(f"trainings run on {choice}")
    return executor
