"""The policy around a training step that fails: less memory, or no compiler, for the same gradients.

A step that fails in the compiler, forwards or backwards, is computed again from the state before it
without the compiler, and so are the steps after it.

A step that runs out of memory is computed again, too. First, if batch norm takes its statistics
from the batch, gradient checkpointing is turned on, because smaller micro-batches would change
those statistics; the compiler cannot take it. Otherwise, or if that is not enough, the micro-batch
is halved for the rest of the run.

Ranks cannot do this in a step, in which they wait for each other. On accelerators they try the
first steps beforehand, each on its own, and agree on the smallest micro-batch that any of them
needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from zoo_core.devices.kinds import kind_of
from zoo_core.errors import TrainingError, ZooError, is_out_of_memory
from zoo_core.training.snapshot import before_forward
from zoo_core.training.train_step import BATCH_NORM, Batch, TrainStep

TRIALS = 2  # steps: the optimizer takes its memory with the first one
SINGLE_VALUE = "Expected more than 1 value per channel when training"  # torch's words


class StepError(TrainingError):
    """This rank cannot compute its share of a step. Other ranks may have computed theirs, and wait
    for it."""


@dataclass
class MemoryPolicy:
    """Computes the gradients of a phase's steps in the memory that there is."""

    step: TrainStep
    message: Callable[[str], None]

    def __post_init__(self) -> None:
        self.undo_forward = before_forward(self.step.tail, self.step.device)
        self._trials = TRIALS if self.step.world.size > 1 and kind_of(self.step.device).is_accelerator else 0

    def with_fallback(self, batch: Batch, *, alone: bool = False) -> Tensor:
        """`TrainStep.accumulate_gradients`, again in less memory each time that there is too little, and
        without the compiler where it fails.

        Afterwards `undo_forward` puts back the statistics and random numbers that the step has
        moved. Raises StepError if there is too little memory for a single image, if ranks run out
        of it together in a step, and if a batch norm cannot be trained on what it sees.
        """
        self.undo_forward = before_forward(self.step.tail, self.step.device)
        if self._trials and not alone:
            self._trials -= 1
            self.agree(batch)
        while True:
            try:
                return self.step.accumulate_gradients(batch, alone=alone)
            except Exception as error:  # the compiler runs the network's own code and another compiler's
                change_step = self._change_for(error, len(batch.features), alone=alone)
            change_step()  # after the error, which holds the tensors of its frames
            self.undo_forward()

    def _change_for(self, error: Exception, images: int, *, alone: bool) -> Callable[[], None]:
        """The change with which the step does without that which failed; raises the error, or a
        StepError, where nothing helps."""
        if is_out_of_memory(error):
            if self.step.world.size > 1 and not alone:
                raise StepError(
                    "one of the processes ran out of memory in a step. Give a smaller --micro-batch or --batch-size."
                ) from error
            return partial(self.reduce_memory, images)
        if isinstance(error, ValueError) and SINGLE_VALUE in str(error):
            raise StepError(self._single_value()) from error
        is_lost = isinstance(error, RuntimeError) and self.step.world.is_lost(error)
        if alone or is_lost or isinstance(error, ZooError) or not self.step.leave_compiler():
            raise error
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        return partial(self.message, f"the trainable layers cannot be compiled here and run without: {reason[:200]}")

    def _single_value(self) -> str:
        """Why a batch norm cannot be trained on the images of a step, with the options that help."""
        (head,) = self.step.tail.whole_head
        if any(isinstance(module, BATCH_NORM) for module in head.modules()):
            return (
                "the head's batch norm cannot be trained on a single image. Give a --batch-size of at least 2, or a head "
                "without batch norm."
            )
        return (
            "batch norm cannot be trained on a single image whose feature map is one pixel. Give a larger --batch-size or "
            "--image-size, or freeze its statistics: --strategy last:1,statistics=frozen."
        )

    def reduce_memory(self, images: int) -> None:
        """Let a step over so many images of this rank take less memory. Raises StepError if that is
        impossible."""
        step = self.step
        before = min(step.together or images, images)
        if step.batch_norm_updates and step.computes_stages and not step.tail.recompute:
            self._recompute("out of memory")
        elif before > 1:
            step.micro_batch = before // 2
            self.message(
                f"out of memory with {before} images at once: going on with {step.micro_batch} "
                f"(--micro-batch {step.micro_batch}); the batch of the optimizer stays as it was"
            )
        else:
            raise StepError(
                "out of memory with a single image. Give a smaller --image-size, a strategy that trains fewer stages, or "
                "another --device."
            )
        step.optimizer.zero_grad(set_to_none=True)
        kind_of(step.device).release_memory()

    def agree(self, batch: Batch) -> None:
        """Try a step on each rank alone, and give all ranks the settings of the one with the least
        memory."""
        step, world = self.step, self.step.world
        with world.raise_together():
            self.with_fallback(batch, alone=True)
        self.undo_forward()
        needed = world.all_gather_object((step.micro_batch, step.tail.recompute))
        micro_batch = min((images for images, _ in needed if images is not None), default=None)
        recompute = any(recompute for _, recompute in needed)
        if micro_batch != step.micro_batch:
            self.message(
                f"another process has less memory: going on with {micro_batch} images at once "
                f"(--micro-batch {micro_batch})"
            )
        if recompute and not step.tail.recompute:
            self._recompute("another process has less memory")
        step.micro_batch = micro_batch

    def _recompute(self, why: str) -> None:
        """Turn on gradient checkpointing, which the compiler cannot take."""
        self.step.tail.recompute = True
        compiler = ", and leaving the compiler" if self.step.leave_compiler() else ""
        self.message(
            f"{why}: turning on gradient checkpointing (--gradient-checkpointing), which takes time and changes no "
            f"result{compiler}"
        )
