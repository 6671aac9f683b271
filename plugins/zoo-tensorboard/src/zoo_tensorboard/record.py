"""Records a training as event files. torch writes them; TensorFlow is not needed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from zoo_core import TrackedRun
from zoo_tensorboard.plugin import TensorBoardOptions


class Record:
    """The event files of one training: `train_loss`, `val_loss` and so on by epoch, and `result/...`
    once. A resumed training adds a file, and hides the epochs that it repeats."""

    def __init__(self, options: TensorBoardOptions, run: TrackedRun) -> None:
        folder = _folder(options, run)
        self.id, self.place = folder.name, str(folder)
        self.last = run.first_epoch - 1
        purged = run.first_epoch if run.id else None
        self.writer = SummaryWriter(str(folder), purge_step=purged)
        for name, values in (("settings", run.settings), ("facts", run.facts)):
            text = "\n".join(f"    {line}" for line in json.dumps(values, indent=1, default=str).splitlines())
            self.writer.add_text(name, text, self.last)
        self.writer.flush()

    def epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        self.last = epoch
        self._add(figures, "")

    def end(self, outcome: str, figures: Mapping[str, float]) -> None:
        self._add(figures, "result/")
        self.writer.add_text("outcome", outcome, self.last)
        self.writer.close()

    def _add(self, figures: Mapping[str, float], before: str) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(f"{before}{name}", value, self.last)
        self.writer.flush()


def _folder(options: TensorBoardOptions, run: TrackedRun) -> Path:
    """The run directory's own folder, or one in that of the options: of the run's name, or of the
    name that the run had there before."""
    if options.dir is None:
        return run.folder
    home = Path(options.dir).expanduser()
    if run.id is not None:
        return home / Path(run.id).name
    first = home / run.name
    others = (first.with_name(f"{run.name}-{number}") for number in range(2, 10_000))
    return next(one for one in (first, *others) if not one.exists())
