"""Records a training as a run of Trackio."""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Iterator, Mapping

import trackio

from zoo_core import TrackedRun
from zoo_trackio.plugin import TrackioOptions


class Record:
    """A run in a project: the settings as its config, losses and scores by epoch, the result last.

    Trackio finds a run again by its name, so the name ends in letters of chance.
    """

    def __init__(self, options: TrackioOptions, run: TrackedRun) -> None:
        self.id = run.id or f"{run.name}-{uuid.uuid4().hex[:8]}"
        self.place = f"Trackio's project {options.project}, run {self.id}"
        if options.space is not None:
            self.place = f"https://huggingface.co/spaces/{options.space} (run {self.id})"
        self.last = run.first_epoch - 1
        config = {
            name: value if isinstance(value, bool | int | float) else str(value) for name, value in run.settings.items()
        }
        with _on_standard_error():
            self.run = trackio.init(
                project=options.project,
                name=self.id,
                space_id=options.space,
                config=config,
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        self.last = epoch
        self.run.log(dict(figures), step=epoch)

    def end(self, outcome: str, figures: Mapping[str, float]) -> None:
        result = {f"result/{name}": value for name, value in figures.items()}
        self.run.log({**result, "finished": int(outcome == "finished")}, step=self.last)
        with _on_standard_error():
            trackio.finish()


@contextlib.contextmanager
def _on_standard_error() -> Iterator[None]:
    """Trackio prints; standard output is the command's."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
