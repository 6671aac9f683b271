"""The facts about the tracker wandb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zoo_core import TrackerSpec, hookimpl

HOOK_API = 2


@dataclass(frozen=True)
class WandbOptions:
    project: str = "zoo"
    entity: str | None = None
    mode: Literal["auto", "online", "offline"] = "auto"
    """auto follows WANDB_MODE; without it online where `wandb login` was done, else offline."""


@hookimpl
def zoo_trackers() -> list[TrackerSpec]:
    return [
        TrackerSpec(
            name="wandb",
            start="zoo_wandb.record:Record",
            options=WandbOptions,
            summary="runs of Weights & Biases, at its server or offline in the run directory",
        )
    ]
