"""The facts about the tracker trackio."""

from __future__ import annotations

from dataclasses import dataclass

from zoo_core import TrackerSpec, hookimpl

HOOK_API = 2


@dataclass(frozen=True)
class TrackioOptions:
    project: str = "zoo"
    space: str | None = None
    """A Space of the Hub, OWNER/NAME, that shows the trainings; without it they stay on this machine."""


@hookimpl
def zoo_trackers() -> list[TrackerSpec]:
    return [
        TrackerSpec(
            name="trackio",
            start="zoo_trackio.record:Record",
            options=TrackioOptions,
            summary="runs of Trackio, on this machine or in a Space of the Hub",
        )
    ]
