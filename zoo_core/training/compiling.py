"""torch.compile for the trainable layers: on request, or where it saves more seconds than it takes.

A small tail on a GPU is done sooner than the processor can launch it: it is recorded once, as a graph
("reduce-overhead"), and played again in every step. On 2 cores of a CPU compiling resnet18's training took 44 s and made
a step 1.1 times faster; both figures are used below.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo_core.devices.kinds import kind_of
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.split import SplitPoint

SECONDS_A_LAYER = 44 / 21  # resnet18 has 21 layers with weights that are no normalisation
GAIN = 1.1
BACKEND = "inductor"


class Compiled:
    """A network that is compiled when it is first called, for `images()` at once: the few steps that see another number are
    not worth a second compile, and go through it as it was."""

    def __init__(
        self, network: nn.Module, images: Callable[[], int], message: Callable[[str], None], *, recorded: bool = False
    ) -> None:
        self._plain = network
        self._images = images
        mode = "reduce-overhead" if recorded else None
        self._compiled: Callable[[Tensor], Tensor] = torch.compile(network, backend=BACKEND, mode=mode, dynamic=False)
        self._say = message
        self._is_announced = False

    def __call__(self, inputs: Tensor) -> Tensor:
        if len(inputs) != self._images():
            outputs_BK: Tensor = self._plain(inputs)
            return outputs_BK
        if not self._is_announced:
            self._say(
                "compiling the trainable layers (torch.compile); the first steps are slow. --compile off skips this."
            )
            self._is_announced = True
        return self._compiled(inputs)


def recording_pays(device: torch.device, split: SplitPoint, processes: int) -> bool:
    """Whether to record the tail as a graph: it has stages, is on a device that can, and talks to no other process."""
    return kind_of(device).has_graphs and split.stages > 0 and processes == 1


def compiling_pays(plan: Plan, layers: int, seconds_per_epoch: list[float]) -> bool:
    """Whether compiling saves time.

    `seconds_per_epoch` are those of the trainable stages in each phase, 0 where only a head is trained.
    """
    taken = [layers * SECONDS_A_LAYER if seconds else 0.0 for seconds in seconds_per_epoch]
    spent = sum(phase.epochs * seconds for phase, seconds in zip(plan.phases, seconds_per_epoch, strict=True))
    return spent * (1 - 1 / GAIN) > sum(taken)
