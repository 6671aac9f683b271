"""One phase of a plan at work: the tail that learns, its optimizer, its gradients and its evaluation.

Shapes: B batch, K outputs; `flow` is what stands at the phase's cut: images, feature maps or pooled features.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zoo_core.data.batches import Batches, Seen, in_groups
from zoo_core.data.transforms import CENTRE
from zoo_core.devices.transfer import computes_apart, moved
from zoo_core.errors import TrainingError
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.feeds import Feeds, PhaseFeeds
from zoo_core.frozen.flow import Feed, group_size
from zoo_core.frozen.front import Tail
from zoo_core.model.assemble import Model
from zoo_core.training.compiling import Compiled, recording_pays
from zoo_core.training.interrupt import Wish
from zoo_core.training.metrics import Evaluation
from zoo_core.training.regularise import Mixing
from zoo_core.training.solve import fit_head
from zoo_core.training.state import before_forward
from zoo_core.training.tasks import Objective

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


class Unmeasured(Exception):
    """Somebody wished to stop while images were measured; nothing has changed by it."""


@dataclass
class PhaseWork:
    """What one phase trains with. `micro_batch` is how many images go through the tail together: their gradients are
    summed until the batch is complete. None: the whole batch, or less where that is faster and the same."""

    number: int
    tail: Tail
    optimizer: torch.optim.Optimizer
    feeds: Feeds
    feed: PhaseFeeds
    objective: Objective
    label_smoothing: float
    mixing: Mixing
    micro_batch: int | None
    compiled: bool
    say: Callable[[str], None]
    wish: Wish

    def __post_init__(self) -> None:
        self.tail.to(memory_format=torch.channels_last)
        self.tail.train()
        self._norms_learn = any(isinstance(module, BATCH_NORM) and module.training for module in self.tail.modules())
        small = self.feeds.device.type == "cpu" and len(self.tail.stages) and not self._norms_learn
        if self.micro_batch is None and small:
            self.micro_batch = group_size(self.feeds.device)
        self.undo_forward = before_forward(self.tail)
        self._trials = TRIALS
        together = DistributedDataParallel(self.tail) if self.feeds.world.size > 1 else self.tail
        self._between_processes = together.no_sync if isinstance(together, DistributedDataParallel) else nullcontext
        self._network: Callable[[Tensor], Tensor] = together
        if self.compiled and len(self.tail.stages):
            whole = self._images_at_once()
            # What is recorded writes the gradients where it wrote them before: a second piece would not be added.
            recorded = recording_pays(self.feeds.device, self.feed.cut, self.feeds.world.size) and whole == self._mine()
            images = (lambda: whole) if recorded else self._images_at_once
            self._network = Compiled(together, images, self.say, recorded=recorded)

    def train_flow(self, groups: Iterable[Sequence[Seen]]) -> Iterator[tuple[Sequence[Seen], Tensor]]:
        """Each group of images with what stands at the cut for this process's share of it."""
        whole, shared = itertools.tee(groups)
        yield from zip(whole, self.feed.train.of(map(self._share, shared)), strict=True)

    def _share(self, group: Sequence[Seen]) -> Sequence[Seen]:
        """This process's images of a group. One that has none takes another's along, and counts it as nothing."""
        return self.feeds.world.share(group) or group[:1]

    def gradients(self, group: Sequence[Seen], flow: Tensor) -> Tensor:
        """Fill the gradients of the batch's mean loss; return this process's part of that loss, in float64.

        Where the memory is too small for all at once, what the stages compute is no longer kept if smaller pieces would
        change the statistics of the batch; else, and where that was not enough, smaller pieces are taken from then on.
        Processes on devices try beforehand, each for itself: in the step they wait for each other. Raises StepError when
        the memory is too small for a single image, and when a batch normalisation cannot learn from what it sees.
        """
        self.undo_forward = before_forward(self.tail)
        if self.feeds.world.size == 1:
            return self._fitting(lambda: self._gradients(group, flow), len(flow))
        if self._trials and computes_apart(self.feeds.device):
            self._trials -= 1
            self._fit_all(group, flow)
        try:
            return self._gradients(group, flow)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise StepError(
                "the memory of one of the processes is too small for a step. Give a smaller --micro-batch or --batch-size."
            ) from error

    def _fitting(self, compute: Callable[[], Tensor], count: int) -> Tensor:
        """What a computation over so many images gives, which takes less memory from time to time until it has enough."""
        while True:
            try:
                return compute()
            except RuntimeError as error:  # torch's own error of a full device is one of these
                if not is_out_of_memory(error):
                    raise
            self._take_less(count)
            self.undo_forward()

    def _fit_all(self, group: Sequence[Seen], flow: Tensor) -> None:
        """Compute the gradients for nothing, to find out what every process has memory for, and settle for the least."""
        with self.feeds.world.as_one():
            self._fitting(lambda: self._gradients(group, flow, alone=True), len(flow))
        self.undo_forward()
        found = self.feeds.world.gather((self.micro_batch, self.tail.recompute))
        least = min((images for images, _ in found if images is not None), default=None)
        if least != self.micro_batch:
            self.say(f"another process has less memory: going on with {least} images at once (--micro-batch {least})")
        recompute = any(twice for _, twice in found)
        if recompute != self.tail.recompute:
            self.say(f"another process has less memory: what the stages compute {TWICE}")
        self.micro_batch, self.tail.recompute = least, recompute

    def _gradients(self, group: Sequence[Seen], flow: Tensor, *, alone: bool = False) -> Tensor:
        try:
            return self._summed(group, flow, self.tail if alone else self._network)
        except ValueError as error:
            if ALONE not in str(error):
                raise
            raise StepError(
                "a batch normalisation cannot learn from a single image whose map is one pixel. Give a larger "
                "--batch-size or --size, or freeze its statistics: --strategy last:1,statistics=frozen."
            ) from error

    def _summed(self, group: Sequence[Seen], flow: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        world = self.feeds.world
        mine = len(world.share(group))
        targets = moved(self.feeds.train.targets([index for index, _ in self._share(group)]), flow.device)
        flow, targets = self.mixing(flow, targets, len(self.feeds.classes))
        pieces = self._pieces(len(flow))
        total = torch.zeros((), device=flow.device, dtype=torch.float64)
        parts = list(zip(flow.tensor_split(pieces), targets.tensor_split(pieces), strict=True))
        for place, (part, own) in enumerate(parts):
            last = place == len(parts) - 1
            with nullcontext() if last else self._between_processes():
                loss = self.objective.loss(network(part), own, self.label_smoothing)
                share = len(own) / len(group) if mine else 0.0
                (loss * share * world.size).backward()  # type: ignore[no-untyped-call]  # the processes' gradients are averaged
                total += loss.detach().double() * share
        return total

    def _pieces(self, count: int) -> int:
        """In how many pieces so many images go through the tail."""
        pieces = -(-count // (self.micro_batch or count))
        return max(1, min(pieces, count // 2)) if self._norms_learn else pieces  # norms learn from two images at least

    def _images_at_once(self) -> int:
        """How many images go through the tail together in most steps."""
        return -(-self._mine() // self._pieces(self._mine()))

    def _mine(self) -> int:
        """This process's share of the images of most steps."""
        batch = min(self.feeds.train.batch_size, len(self.feeds.train.part))
        return len(self.feeds.world.share(range(batch)))

    def _take_less(self, count: int) -> None:
        before = min(self.micro_batch or count, count)
        if self._norms_learn and len(self.tail.stages) and not self.tail.recompute:
            self.tail.recompute = True
            self.say(f"the memory is too small for what the stages compute: it {TWICE}")
        elif before > 1:
            self.micro_batch = before // 2
            self.say(
                f"the memory is too small for {before} images at once: going on with {self.micro_batch} "
                f"(--micro-batch {self.micro_batch}); the batch of the optimizer stays as it was"
            )
        else:
            raise StepError(
                "the memory is too small for a single image. Give a smaller --size, a strategy that learns fewer stages, "
                "or another --device."
            )
        self.optimizer.zero_grad(set_to_none=True)
        if self.feeds.device.type == "cuda":
            torch.cuda.empty_cache()

    def evaluate(self) -> Evaluation:
        """Measure on the validation images, each once; every process gets the whole result."""
        return self._measured(self.feed.val, self.feeds.val)

    def solve(self, seed: int) -> None:
        """Fit a head that is solved rather than trained to the training images as they are in evaluation."""
        features = self._over(self.feed.train, self.feeds.train, self.tail.reduced)
        fit_head(self.tail.whole_head[0], features, self.feeds.train.targets(range(len(self.feeds.train.part))), seed)

    def training_loss(self) -> float:
        """The loss on the training images as they are in evaluation."""
        return self._measured(self.feed.train, self.feeds.train).loss

    def _measured(self, feed: Feed, batches: Batches) -> Evaluation:
        outputs_NK = self._over(feed, batches, self.tail)
        return self.objective.measure(outputs_NK, batches.targets(range(len(batches.part))))

    def _over(self, feed: Feed, batches: Batches, function: Callable[[Tensor], Tensor]) -> Tensor:
        """What a function gives for each image as it is in evaluation, in order, computed by all processes together."""
        self.tail.eval()
        world = self.feeds.world
        for buffer in self.tail.buffers():
            world.same(buffer)
        size = group_size(self.feeds.device) if len(self.tail.stages) else HEAD_GROUP
        groups = world.share(in_groups(range(len(batches.part)), size))
        flows = feed.of([[(index, CENTRE) for index in group] for group in groups])
        mine = []
        for group, flow in zip(groups, flows, strict=True):
            if self.wish.signum is not None:
                break
            with torch.inference_mode():
                mine.append((group, function(flow).float().cpu()))
        self.tail.train()
        everyone = world.gather((self.wish.signum, mine))
        if any(signum is not None for signum, _ in everyone):
            raise Unmeasured
        answers = sorted((pair for _, share in everyone for pair in share), key=lambda pair: pair[0][0])
        return torch.cat([outputs for _, outputs in answers]).clone()


def norms_learn(model: Model, plan: Plan) -> bool:
    """Whether in some phase a batch normalisation takes its statistics from the batch: cutting that changes the result."""
    moving = {row for phase in plan.phases for row, rule in plan.rules(phase).items() if rule.statistics == "update"}
    return any(isinstance(module, BATCH_NORM) for row in moving for module in model.part(row).modules())


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch says that memory is lacking: on a device by its own error, else only in words."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in NO_MEMORY)
