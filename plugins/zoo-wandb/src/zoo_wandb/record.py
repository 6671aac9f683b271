"""Records a training as a run of Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import wandb

from zoo_core import TrackedRun
from zoo_wandb.plugin import WandbOptions


class Record:
    """A run in a project: the facts as its config, losses and scores by epoch, and the result as its
    summary. Offline its files are in the run directory, and `wandb sync` sends them."""

    def __init__(self, options: WandbOptions, run: TrackedRun) -> None:
        run.folder.mkdir(exist_ok=True)
        self.run = wandb.init(
            project=options.project,
            entity=options.entity,
            name=run.name,
            id=run.id,
            resume="allow" if run.id else None,
            dir=str(run.folder.resolve()),  # wandb writes from a process of its own
            config={**run.facts, "settings": dict(run.settings)},
            mode=_mode(options),
            settings=wandb.Settings(silent=True, console="off", disable_git=True, save_code=False),
            reinit="create_new",
        )
        self.id = str(self.run.id)
        self.place = f"{Path(self.run.dir).parent} (wandb sync sends it)" if self.run.offline else str(self.run.url)

    def epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        self.run.log({"epoch": epoch, **figures})

    def end(self, outcome: str, figures: Mapping[str, float]) -> None:
        self.run.summary.update({"outcome": outcome, **{f"result.{name}": value for name, value in figures.items()}})
        self.run.finish(exit_code=0 if outcome == "finished" else 1)


def _mode(options: WandbOptions) -> str | None:
    """The mode that was asked for; offline where nobody has logged in, so that nobody is asked to."""
    if options.mode != "auto":
        return options.mode
    return None if os.environ.get("WANDB_MODE") or wandb.api.api_key else "offline"
