"""The trainings of a comparison or an advice on the screen, and the ends of both commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo_core.cli.common import console
from zoo_core.cli.options import Option
from zoo_core.cli.running import TrainingScreen
from zoo_core.errors import printable
from zoo_core.wording import short_seconds

if TYPE_CHECKING:
    from rich.console import Console

    from zoo_core.choosing.cells import Failure
    from zoo_core.choosing.elsewhere import Trained
    from zoo_core.choosing.grid import Cell
    from zoo_core.runs.epochs import EpochReport
    from zoo_core.training.job import Job

F = TypeVar("F", bound=Callable[..., Any])


def out_option(group: str, of: str, default: str) -> Callable[[F], F]:
    """The option `--out` of a command that makes a folder of runs."""
    kind = click.Path(path_type=Path)
    help_text = f"Folder of the {of}.  [default: runs/{default}-DATA]"
    return click.option("--out", cls=Option, group=group, type=kind, metavar="DIR", help=help_text)


class CellsScreen:
    """Shows trainings on standard error: a bar while they run, and a line for each that has ended."""

    def __init__(self) -> None:
        self.screen = console(error=True)
        self.bar: CellBar | None = None

    def __exit__(self, *_: object) -> None:
        self.stop()

    def title(self, cell: Cell) -> str:
        """A training in a few words."""
        raise NotImplementedError

    def place(self, cell: Cell) -> str:
        """The begin of its line."""
        raise NotImplementedError

    def begin(self, number: int, cell: Cell) -> CellBar:
        self.stop()
        self.bar = CellBar(self.screen, self.title(cell))
        return self.bar

    def show(self, job: Job) -> None:
        if self.bar is not None:
            self.bar.epochs = job.plan.epochs

    def end(self, cell: Cell, outcome: Trained | Failure) -> None:
        from zoo_core.choosing.cells import Failure

        self.stop()
        if isinstance(outcome, Failure):
            told = f"failed: {outcome.reason}"
        else:
            told = f"{outcome.metric.text(outcome.score)} ({short_seconds(outcome.seconds)} s)"
        self.message(f"{self.place(cell)}  {self.title(cell)}: {told}")

    def progress(self, done: int, total: int) -> None:
        self.move("trainings", f"{done} of {total}", done, total)

    def message(self, text: str) -> None:
        self.screen.print("\n".join(printable(line) for line in text.split("\n")), markup=False, soft_wrap=True)

    def move(self, title: str, name: str, done: int, total: int) -> None:
        """The bar of something that has come so far."""
        self.bar = self.bar or CellBar(self.screen, title)
        self.bar.move(name, done, total)

    def stop(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
        self.bar = None


class CellBar(TrainingScreen):
    """The bar of one training, without the lines of its epochs."""

    def __init__(self, screen: Console, title: str) -> None:
        super().__init__(screen)
        self.title = printable(title)

    def on_epoch(self, report: EpochReport) -> None:
        pass

    def message(self, text: str) -> None:
        """Show the reasons for which nothing moves; notes stand below the table."""
        from zoo_core.frozen.computing_alone import WAITING
        from zoo_core.training.run import STOPPING

        if text in (STOPPING, WAITING):
            super().message(text)

    def move(self, name: str, done: int, total: int) -> None:
        super()._move(f"{self.title}: {name}", done, total)

    def _move(self, name: str, done: int, total: int) -> None:
        self.move(name, done, total)


def end_cells(ctx: click.Context, stop: int | None, failures: Sequence[Failure], nothing: str | None) -> None:
    """End the command as its trainings did: by the signal that stopped them, with `nothing` as the
    error where there are no results, or with exit code 1 where one of them failed."""
    from zoo_core.errors import ZooError
    from zoo_core.training.stopping import Interrupted, stopped_by

    if stop is not None:
        word = stopped_by(stop)
        raise Interrupted(f"{word}; all that was done is kept. Go on: give the same command again.", stop)
    if nothing is not None:
        raise ZooError(nothing)
    if failures:
        ctx.exit(1)
