"""The gradients of one training step, accumulated over micro-batches and averaged over the ranks.

Shapes: B images of this rank, K outputs; features are images, feature maps or pooled features, as
the phase has them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zoo_core.devices.batch_statistics import StatisticsOfAll
from zoo_core.devices.kinds import kind_of
from zoo_core.devices.precision import autocast
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.input_planner import InputPlanner
from zoo_core.frozen.split import SplitPoint, Tail
from zoo_core.model.assemble import Model
from zoo_core.model.memory_format import laid_out
from zoo_core.settings import ResolvedSettings
from zoo_core.tasks.losses import focal_gamma
from zoo_core.tasks.objective import Objective
from zoo_core.training.balance import class_weights
from zoo_core.training.compiling import Compiled, recording_pays
from zoo_core.training.regularisers import Mixing

BATCH_NORM = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Batch:
    """The images of one step: those of this rank, at the split point of the phase, and the number
    of those of all ranks.

    A rank for which none is left holds one of another rank, and computes with it without counting
    it.
    """

    features: Tensor
    targets: Tensor
    global_size: int


@dataclass(frozen=True)
class Layout:
    """The memory format of a step's images and weights, and the number of images that a CPU
    computes together, None for all."""

    memory_format: torch.memory_format
    images: int | None

    @classmethod
    def of(cls, text: str) -> Layout:
        """The layout of a setting, such as "channels-last:8"."""
        name, _, images = text.partition(":")
        memory_format = torch.channels_last if name == "channels-last" else torch.contiguous_format
        return cls(memory_format, None if images == "whole" else int(images))


@dataclass
class TrainStep:
    """The trained layers of one phase, with their loss and their optimizer.

    `micro_batch` is the number of images that pass the layers together, as it was asked for or as
    memory allows, None where neither says so.
    """

    tail: Tail
    optimizer: torch.optim.Optimizer
    objective: Objective
    planner: InputPlanner
    split: SplitPoint
    config: ResolvedSettings
    micro_batch: int | None
    message: Callable[[str], None]

    def __post_init__(self) -> None:
        self.world, self.device = self.planner.world, self.planner.device
        self.mixing = Mixing(self.config.mixup, self.config.cutmix)
        targets, classes = self.planner.train.part.targets, len(self.planner.classes)
        weighted = self.config.balance == "weights"
        weights = torch.from_numpy(class_weights(targets, classes)) if weighted else None
        self.class_weights = None if weights is None else weights.to(kind_of(self.device).sums_in).to(self.device)
        self.gamma = focal_gamma(self.config.loss)
        self.layout = Layout.of(self.config.step_layout)
        laid_out(self.tail, self.layout.memory_format)
        self.tail.train()
        self.batch_norm_updates = trains_batch_norm(self.tail)
        self.shares_statistics = self.batch_norm_updates and self.world.size > 1
        self.network = DistributedDataParallel(self.tail) if self.world.size > 1 else self.tail
        compiled = self.config.compile == "on" and self.computes_stages and not self.tail.recompute
        if compiled and self.shares_statistics:
            self.message("the batch norms of several processes share their statistics, and are not compiled")
            compiled = False
        self.forward: Callable[[Tensor], Tensor] = self._compiled() if compiled else self.network

    def accumulate_gradients(self, batch: Batch, *, alone: bool = False) -> Tensor:
        """Set the gradients to those of the batch's mean loss; return this rank's share of that
        loss.

        The optimizer must see the gradient of the mean loss over the global batch of n images. A
        micro-batch of m images has a mean of its own, so it counts m/n. DDP averages gradients over
        w processes, so each is multiplied by w to make that a sum. A rank without images computes
        one of another's with weight 0, because DDP needs every rank in every step.

        `alone` leaves the other ranks and the compiler out, for trials; the whole batch is then of
        this rank.
        """
        n, w = batch.global_size, 1 if alone else self.world.size
        has_images = alone or self.world.rank < n  # images are dealt out in turn, so the last ranks go without
        self.optimizer.zero_grad(set_to_none=True)
        features, targets = self.mixing(batch.features, batch.targets, len(self.planner.classes))
        if self.layout.memory_format == torch.contiguous_format:
            features = features.contiguous()
        count = self.num_micro_batches(len(features))
        if self.shares_statistics and not alone:  # as many in every process, and none of them empty
            count = min(self.num_micro_batches(-(-n // w)), max(1, n // w))
        micro_batches = zip(features.tensor_split(count), targets.tensor_split(count), strict=True)
        mean_loss = torch.zeros((), device=features.device, dtype=kind_of(self.device).sums_in)
        for number, (features_m, targets_m) in enumerate(micro_batches, start=1):
            weight = len(targets_m) / n if has_images else 0.0
            shared = None if alone else self._statistics(n, number - 1, count, len(targets_m), counts=has_images)
            with self.tail.taking_statistics(shared), self._no_sync() if number < count else nullcontext():
                with autocast(self.config.precision, self.device):
                    outputs_mK = self.tail(features_m) if alone else self.forward(features_m)
                loss = self.objective.loss(
                    outputs_mK, targets_m, self.config.label_smoothing, self.class_weights, self.gamma
                )
                (loss * weight * w).backward()  # type: ignore[no-untyped-call]
            mean_loss += loss.detach().to(mean_loss.dtype) * weight
        return mean_loss

    def _statistics(self, images: int, number: int, count: int, own: int, *, counts: bool) -> StatisticsOfAll | None:
        """The statistics of the images of all processes in a micro-batch, the `number`-th of `count`,
        of which `own` pass here; None where each process takes its own."""
        if not self.shares_statistics:
            return None
        shares = [len(range(rank, images, self.world.size)) for rank in range(self.world.size)]
        together = sum(share // count + (number < share % count) for share in shares)
        return StatisticsOfAll(self.world, together, own, counts=counts)

    @property
    def computes_stages(self) -> bool:
        """Whether a step computes stages of the backbone, and not the head alone."""
        return len(self.tail.stages) > 0

    @property
    def together(self) -> int | None:
        """The number of images that pass the layers together, None for the whole batch. On a CPU it
        is that of the layout where that changes nothing: where stages are computed and no batch
        norm takes its statistics from the batch."""
        is_free = not kind_of(self.device).is_accelerator and self.computes_stages and not self.batch_norm_updates
        return self.layout.images if self.micro_batch is None and is_free else self.micro_batch

    @property
    def local_batch_size(self) -> int:
        """The number of images of this rank in most steps."""
        images = min(self.planner.train.batch_size, len(self.planner.train.part))
        return len(self.world.shard(range(images)))

    @property
    def micro_batch_size(self) -> int:
        """The number of images that pass the layers together in most steps."""
        return -(-self.local_batch_size // self.num_micro_batches(self.local_batch_size))

    def num_micro_batches(self, images: int) -> int:
        """The number of micro-batches of so many images; a batch norm that is trained needs two
        images in each."""
        count = -(-images // (self.together or images))
        return max(1, min(count, images // 2)) if self.batch_norm_updates else count

    def leave_compiler(self) -> bool:
        """Compute the next steps without the compiler. The value says whether it was at work."""
        was_compiled, self.forward = self.forward is not self.network, self.network
        return was_compiled

    def _no_sync(self) -> AbstractContextManager[object]:
        """DDP averages the gradients once a step, after the last micro-batch."""
        network = self.network
        return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()

    def _compiled(self) -> Compiled:
        usual = self.micro_batch_size
        # A graph writes gradients where it wrote them before, so a second micro-batch would not be added to the first.
        recorded = recording_pays(self.device, self.split, self.world.size) and usual == self.local_batch_size
        images = (lambda: usual) if recorded else (lambda: self.micro_batch_size)
        return Compiled(self.network, images, self.message, recorded=recorded)


def trains_batch_norm(tail: Tail) -> bool:
    """Whether a batch norm of a tail in training mode takes its statistics from the batch."""
    return any(isinstance(module, BATCH_NORM) and module.training for module in tail.modules())


def batch_norm_updates(model: Model, plan: Plan) -> bool:
    """Whether a batch norm takes its statistics from the batch in some phase, so that its size
    changes the result."""
    updating = {
        part for phase in plan.phases for part, rule in plan.rules(phase).items() if rule.statistics == "update"
    }
    return any(isinstance(module, BATCH_NORM) for part in updating for module in model.part(part).modules())
