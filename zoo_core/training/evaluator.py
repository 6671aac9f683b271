"""The one evaluator: it measures epochs, the end of a run, and a finished run on other images.

The ranks share the images of a part, and each gets the whole result. A stop request ends an
evaluation early; it changes nothing, so that a resumed run makes it again.

Shapes: N images of a part, K outputs, F features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor, nn

from zoo_core.data.batches import in_groups
from zoo_core.data.transforms import CENTRE
from zoo_core.devices.fitting import Fitting
from zoo_core.devices.precision import exact_float32, full_precision
from zoo_core.devices.world import World
from zoo_core.frozen.inputs import Inputs, group_size
from zoo_core.frozen.split import Tail
from zoo_core.tasks.metrics import Evaluation
from zoo_core.tasks.objective import Objective, concatenated
from zoo_core.training.stopping import StopRequest

T = TypeVar("T")
HEAD_GROUP = 256  # images a pass where a head alone is computed


class EvaluationStopped(Exception):
    """A stop request ended an evaluation on every rank."""


@dataclass(frozen=True)
class Evaluator:
    """Runs a network over every image of a part, in evaluation mode and in the view that is no
    augmentation."""

    objective: Objective
    device: torch.device
    world: World = field(default_factory=World)
    stop_request: StopRequest = field(default_factory=StopRequest)

    def evaluate(self, network: nn.Module, inputs: Inputs, *, groups: Sequence[str] | None = None) -> Evaluation:
        """The figures of a network on all images, with the group of each image if it has one.

        Raises EvaluationStopped, on all ranks, after a stop request to any of them.
        """
        return self.objective.whole(self._passes(network, inputs, network, self.objective.partial, None), groups)

    def outputs(
        self,
        network: nn.Module,
        inputs: Inputs,
        compute: Callable[[Tensor], Tensor] | None = None,
        watch: Callable[[int, int], None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Outputs (N, K) and targets (N) or (N, K) of all images in order, on the CPU.

        `compute` is called in place of the network, as a part of it that gives features (B, F).
        Raises EvaluationStopped.
        """
        return concatenated(self._passes(network, inputs, compute or network, lambda *pair: pair, watch))

    def _passes(
        self,
        network: nn.Module,
        inputs: Inputs,
        compute: Callable[[Tensor], Tensor],
        reduce: Callable[[Tensor, Tensor], T],
        watch: Callable[[int, int], None] | None,
    ) -> list[T]:
        """The results of `reduce` for the outputs and targets, on the CPU, of each pass of all
        ranks, in order."""
        groups = self.world.shard(in_groups(range(len(inputs)), self._group_size(network)))
        batches = inputs.batches([[(index, CENTRE) for index in group] for group in groups])
        mine: list[tuple[int, T]] = []
        done, total = 0, sum(map(len, groups))
        with self._evaluating(network), exact_float32(self.device):
            for group, (features, targets) in zip(groups, batches, strict=True):
                if self.stop_request.signal is not None:
                    break
                with torch.inference_mode():
                    outputs = torch.cat(self._fitting.in_parts(compute, features))
                    mine.append((group[0], reduce(full_precision(outputs).cpu(), targets.cpu())))
                done += len(group)
                if watch is not None:
                    watch(done, total)
        everyone = self.world.all_gather_object((self.stop_request.signal, mine))
        if any(signal is not None for signal, _ in everyone):
            raise EvaluationStopped
        return [part for _, part in sorted((pair for _, pairs in everyone for pair in pairs), key=lambda pair: pair[0])]

    @cached_property
    def _fitting(self) -> Fitting:
        return Fitting(HEAD_GROUP)  # the largest of all groups

    def _group_size(self, network: nn.Module) -> int:
        head_alone = isinstance(network, Tail) and not len(network.stages)
        return HEAD_GROUP if head_alone else group_size(self.device)

    @contextmanager
    def _evaluating(self, network: nn.Module) -> Iterator[None]:
        """Evaluation mode, with the batch norm statistics of the first rank on all of them."""
        training = network.training
        network.eval()
        for buffer in network.buffers():
            self.world.broadcast(buffer)
        try:
            yield
        finally:
            network.train(training)
