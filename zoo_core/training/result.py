"""The result of a run, and the error of one that cannot be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo_core.errors import DataError, ZooError
from zoo_core.runs.notebook_tables import result_html
from zoo_core.specs import TaskName
from zoo_core.tasks.metrics import Baseline, Evaluation
from zoo_core.training.forgetting import Forgotten
from zoo_core.training.tracking import Tracked
from zoo_core.training.trainer import History


class CannotResume(ZooError):
    """A run cannot be resumed, because `changes` were made since it started: a line each."""

    def __init__(self, directory: Path, changes: str) -> None:
        super().__init__(
            f"cannot resume {directory}; these have changed since it started:\n  {changes}\n"
            "Put them back as they were, or start a new run with `zoo finetune`."
        )
        self.directory, self.changes = directory, changes

    def __reduce__(self) -> tuple[type[CannotResume], tuple[Path, str]]:
        return CannotResume, (self.directory, self.changes)


@dataclass(frozen=True)
class Result:
    """The result of a run."""

    directory: Path
    trained: History
    measured: Evaluation | None = field(repr=False)
    """The evaluation, None where no image was held out."""
    calibration: Mapping[str, Any] | None
    """The fit to the validation images and its effect, None where these are too few."""
    baseline: Baseline | None
    """The score of the best constant answer on the same images."""
    part: str | None
    """The part of the data that was evaluated: "test" if there is one, else "val"; None where
    neither is."""
    num_computed: int
    """The number of images that the frozen prefix computed for the cache; 0 if it held all of
    them."""
    task: TaskName
    groups: Mapping[str, int]
    """The number of groups of images in each part; empty where images have none."""
    ending: str
    """Why the training ended early, if it did, and the rule by which its best epoch was chosen."""
    forgotten: Forgotten | None = None
    """Of a training that started from a run: its score on the images of that one, before and
    after."""
    trackers: tuple[Tracked, ...] = ()
    stopped_by: int | None = None
    """The signal that came when only the results were still to be written."""

    def _repr_html_(self) -> str:
        return result_html(self)

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation. Raises DataError where no image was held out."""
        if self.measured is None:
            raise DataError("the run was trained on all images (val_share 0), and none was held out to evaluate it.")
        return self.measured
