"""The facts about the tracker tensorboard."""

from __future__ import annotations

from dataclasses import dataclass

from zoo_core import TrackerSpec, hookimpl

HOOK_API = 2


@dataclass(frozen=True)
class TensorBoardOptions:
    dir: str | None = None
    """A folder for the event files of all trainings, each in a folder of its name; without it they
    are in the run directory."""


@hookimpl
def zoo_trackers() -> list[TrackerSpec]:
    return [
        TrackerSpec(
            name="tensorboard",
            start="zoo_tensorboard.record:Record",
            options=TensorBoardOptions,
            summary="event files for TensorBoard, in the run directory",
        )
    ]
