"""The facts about the runner ray."""

from __future__ import annotations

from dataclasses import dataclass

from zoo_core import RunnerSpec, hookimpl

HOOK_API = 2


@dataclass(frozen=True)
class RayOptions:
    """The cluster, and its share for one training."""

    address: str = "local"
    """local starts one on this machine for as long as the command runs; auto finds the one that this
    machine belongs to; else its HOST:PORT."""
    cpus: int = 1
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise ValueError(f"cpus must be at least 1, got {self.cpus}")
        if not 0 <= self.gpus <= 1:
            raise ValueError(f"gpus must be from 0 to 1, because a training uses one; got {self.gpus}")


@hookimpl
def zoo_runners() -> list[RunnerSpec]:
    return [
        RunnerSpec(
            name="ray",
            start="zoo_ray.executor:start",
            options=RayOptions,
            summary="the machines of a Ray cluster (ray:10.0.0.1:6379,cpus=4), or this one (ray:local)",
        )
    ]
