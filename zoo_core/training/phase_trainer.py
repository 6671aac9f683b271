"""One phase of a plan at work: the tail that learns, its optimizer, its gradients and its evaluation.

Shapes: B batch, K outputs; `inputs` is what stands at the phase's cut: images, feature maps or pooled features.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zoo_core.data.batches import Batches, ImageView, in_groups
from zoo_core.data.transforms import CENTRE
from zoo_core.devices.transfer import is_accelerator, to_device
from zoo_core.errors import TrainingError
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.input_planner import InputPlanner, PhaseInputs
from zoo_core.frozen.inputs import Inputs, group_size
from zoo_core.frozen.split import Tail
from zoo_core.model.assemble import Model
from zoo_core.tasks.metrics import Evaluation
from zoo_core.tasks.objective import Objective
from zoo_core.training.compiling import Compiled, recording_pays
from zoo_core.training.regularisers import Mixing
from zoo_core.training.solve import fit_head
from zoo_core.training.state import before_forward
from zoo_core.training.stopping import StopRequest

HEAD_GROUP = 256  # images a pass in evaluation where only a head is left to compute
NO_MEMORY = (  # of a CPU on Linux and on Windows, and of CUDA's libraries
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


TRIALS = 2  # steps: with the first one the optimizer takes memory
TWICE = "is computed twice from now on (--gradient-checkpointing), which changes no result"
BATCH_NORM = nn.modules.batchnorm._BatchNorm
ALONE = "Expected more than 1 value per channel when training"  # torch's words


class StepError(TrainingError):
    """This process cannot compute its share of a step. Others may have computed theirs, and wait for it."""


class EvaluationStopped(Exception):
    """Somebody wished to stop while images were measured; nothing has changed by it."""


@dataclass
class PhaseTrainer:
    """What one phase trains with. `micro_batch` is how many images go through the tail together: their gradients are
    summed until the batch is complete. None: the whole batch, or less where that is faster and the same."""

    number: int
    tail: Tail
    optimizer: torch.optim.Optimizer
    planner: InputPlanner
    phase_inputs: PhaseInputs
    objective: Objective
    label_smoothing: float
    mixing: Mixing
    micro_batch: int | None
    compiled: bool
    message: Callable[[str], None]
    stop_request: StopRequest

    def __post_init__(self) -> None:
        self.tail.to(memory_format=torch.channels_last)
        self.tail.train()
        self._batch_norm_updates = any(
            isinstance(module, BATCH_NORM) and module.training for module in self.tail.modules()
        )
        small = self.planner.device.type == "cpu" and len(self.tail.stages) and not self._batch_norm_updates
        if self.micro_batch is None and small:
            self.micro_batch = group_size(self.planner.device)
        self.undo_forward = before_forward(self.tail)
        self._trials = TRIALS
        together = DistributedDataParallel(self.tail) if self.planner.world.size > 1 else self.tail
        self._between_processes = together.no_sync if isinstance(together, DistributedDataParallel) else nullcontext
        self._network: Callable[[Tensor], Tensor] = together
        if self.compiled and len(self.tail.stages):
            whole = self._micro_batch_size()
            # What is recorded writes the gradients where it wrote them before: a second piece would not be added.
            recorded = (
                recording_pays(self.planner.device, self.phase_inputs.cut, self.planner.world.size)
                and whole == self._local_batch_size()
            )
            images = (lambda: whole) if recorded else self._micro_batch_size
            self._network = Compiled(together, images, self.message, recorded=recorded)

    def train_inputs(self, groups: Iterable[Sequence[ImageView]]) -> Iterator[tuple[Sequence[ImageView], Tensor]]:
        """Each group of images with what stands at the cut for this process's share of it."""
        whole, shared = itertools.tee(groups)
        yield from zip(whole, self.phase_inputs.train.batches(map(self._share, shared)), strict=True)

    def _share(self, group: Sequence[ImageView]) -> Sequence[ImageView]:
        """This process's images of a group. One that has none takes another's along, and counts it as nothing."""
        return self.planner.world.shard(group) or group[:1]

    def gradients(self, group: Sequence[ImageView], inputs: Tensor) -> Tensor:
        """Fill the gradients of the batch's mean loss; return this process's part of that loss, in float64.

        Where the memory is too small for all at once, what the stages compute is no longer kept if smaller pieces would
        change the statistics of the batch; else, and where that was not enough, smaller pieces are taken from then on.
        Processes on devices try beforehand, each for itself: in the step they wait for each other. Raises StepError when
        the memory is too small for a single image, and when a batch normalisation cannot learn from what it sees.
        """
        self.undo_forward = before_forward(self.tail)
        if self.planner.world.size == 1:
            return self._with_fallback(lambda: self._gradients(group, inputs), len(inputs))
        if self._trials and is_accelerator(self.planner.device):
            self._trials -= 1
            self._agree(group, inputs)
        try:
            return self._gradients(group, inputs)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise StepError(
                "the memory of one of the processes is too small for a step. Give a smaller --micro-batch or --batch-size."
            ) from error

    def _with_fallback(self, compute: Callable[[], Tensor], count: int) -> Tensor:
        """What a computation over so many images gives, which takes less memory from time to time until it has enough."""
        while True:
            try:
                return compute()
            except RuntimeError as error:  # torch's own error of a full device is one of these
                if not is_out_of_memory(error):
                    raise
            self._reduce_memory(count)
            self.undo_forward()

    def _agree(self, group: Sequence[ImageView], inputs: Tensor) -> None:
        """Compute the gradients for nothing, to find out what every process has memory for, and settle for the least."""
        with self.planner.world.raise_together():
            self._with_fallback(lambda: self._gradients(group, inputs, alone=True), len(inputs))
        self.undo_forward()
        found = self.planner.world.all_gather_object((self.micro_batch, self.tail.recompute))
        least = min((images for images, _ in found if images is not None), default=None)
        if least != self.micro_batch:
            self.message(
                f"another process has less memory: going on with {least} images at once (--micro-batch {least})"
            )
        recompute = any(twice for _, twice in found)
        if recompute != self.tail.recompute:
            self.message(f"another process has less memory: what the stages compute {TWICE}")
        self.micro_batch, self.tail.recompute = least, recompute

    def _gradients(self, group: Sequence[ImageView], inputs: Tensor, *, alone: bool = False) -> Tensor:
        try:
            return self._accumulate(group, inputs, self.tail if alone else self._network)
        except ValueError as error:
            if ALONE not in str(error):
                raise
            raise StepError(
                "a batch normalisation cannot learn from a single image whose map is one pixel. Give a larger "
                "--batch-size or --image-size, or freeze its statistics: --strategy last:1,statistics=frozen."
            ) from error

    def _accumulate(self, group: Sequence[ImageView], inputs: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        world = self.planner.world
        mine = len(world.shard(group))
        targets = to_device(self.planner.train.targets([index for index, _ in self._share(group)]), inputs.device)
        inputs, targets = self.mixing(inputs, targets, len(self.planner.classes))
        pieces = self._num_micro_batches(len(inputs))
        total = torch.zeros((), device=inputs.device, dtype=torch.float64)
        parts = list(zip(inputs.tensor_split(pieces), targets.tensor_split(pieces), strict=True))
        for place, (part, own) in enumerate(parts):
            last = place == len(parts) - 1
            with nullcontext() if last else self._between_processes():
                loss = self.objective.loss(network(part), own, self.label_smoothing)
                share = len(own) / len(group) if mine else 0.0
                (loss * share * world.size).backward()  # type: ignore[no-untyped-call]  # the processes' gradients are averaged
                total += loss.detach().double() * share
        return total

    def _num_micro_batches(self, count: int) -> int:
        """In how many pieces so many images go through the tail."""
        pieces = -(-count // (self.micro_batch or count))
        return (
            max(1, min(pieces, count // 2)) if self._batch_norm_updates else pieces
        )  # norms learn from two images at least

    def _micro_batch_size(self) -> int:
        """How many images go through the tail together in most steps."""
        return -(-self._local_batch_size() // self._num_micro_batches(self._local_batch_size()))

    def _local_batch_size(self) -> int:
        """This process's share of the images of most steps."""
        batch = min(self.planner.train.batch_size, len(self.planner.train.part))
        return len(self.planner.world.shard(range(batch)))

    def _reduce_memory(self, count: int) -> None:
        before = min(self.micro_batch or count, count)
        if self._batch_norm_updates and len(self.tail.stages) and not self.tail.recompute:
            self.tail.recompute = True
            self.message(f"the memory is too small for what the stages compute: it {TWICE}")
        elif before > 1:
            self.micro_batch = before // 2
            self.message(
                f"the memory is too small for {before} images at once: going on with {self.micro_batch} "
                f"(--micro-batch {self.micro_batch}); the batch of the optimizer stays as it was"
            )
        else:
            raise StepError(
                "the memory is too small for a single image. Give a smaller --image-size, a strategy that learns fewer stages, "
                "or another --device."
            )
        self.optimizer.zero_grad(set_to_none=True)
        if self.planner.device.type == "cuda":
            torch.cuda.empty_cache()

    def evaluate(self) -> Evaluation:
        """Measure on the validation images, each once; every process gets the whole result."""
        return self._measured(self.phase_inputs.val, self.planner.val)

    def solve(self, seed: int) -> None:
        """Fit a head that is solved rather than trained to the training images as they are in evaluation."""
        features = self._over(self.phase_inputs.train, self.planner.train, self.tail.reduced)
        fit_head(
            self.tail.whole_head[0], features, self.planner.train.targets(range(len(self.planner.train.part))), seed
        )

    def training_loss(self) -> float:
        """The loss on the training images as they are in evaluation."""
        return self._measured(self.phase_inputs.train, self.planner.train).loss

    def _measured(self, phase_inputs: Inputs, batches: Batches) -> Evaluation:
        outputs_NK = self._over(phase_inputs, batches, self.tail)
        return self.objective.measure(outputs_NK, batches.targets(range(len(batches.part))))

    def _over(self, phase_inputs: Inputs, batches: Batches, function: Callable[[Tensor], Tensor]) -> Tensor:
        """What a function gives for each image as it is in evaluation, in order, computed by all processes together."""
        self.tail.eval()
        world = self.planner.world
        for buffer in self.tail.buffers():
            world.broadcast(buffer)
        size = group_size(self.planner.device) if len(self.tail.stages) else HEAD_GROUP
        groups = world.shard(in_groups(range(len(batches.part)), size))
        flows = phase_inputs.batches([[(index, CENTRE) for index in group] for group in groups])
        mine = []
        for group, inputs in zip(groups, flows, strict=True):
            if self.stop_request.signal is not None:
                break
            with torch.inference_mode():
                mine.append((group, function(inputs).float().cpu()))
        self.tail.train()
        everyone = world.all_gather_object((self.stop_request.signal, mine))
        if any(signum is not None for signum, _ in everyone):
            raise EvaluationStopped
        answers = sorted((pair for _, share in everyone for pair in share), key=lambda pair: pair[0][0])
        return torch.cat([outputs for _, outputs in answers]).clone()


def batch_norm_updates(model: Model, plan: Plan) -> bool:
    """Whether in some phase a batch normalisation takes its statistics from the batch: cutting that changes the result."""
    moving = {part for phase in plan.phases for part, rule in plan.rules(phase).items() if rule.statistics == "update"}
    return any(isinstance(module, BATCH_NORM) for part in moving for module in model.part(part).modules())


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch says that memory is lacking: on a device by its own error, else only in words."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in NO_MEMORY)
