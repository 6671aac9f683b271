"""The training loop: phases of a plan, epochs, steps, evaluation; the best epoch's weights are kept.

Every number that decides what comes next stands in `TrainerState` and in the seed, so that a checkpoint between any two steps
is enough to go on as if nothing had happened.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import NoReturn

import torch
from torch import Tensor

from zoo_core.data.batches import ImageView, training_groups, training_steps
from zoo_core.data.sources import windows_of
from zoo_core.data.transforms import fresh_view
from zoo_core.devices.transfer import is_accelerator
from zoo_core.errors import TrainingError
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.caching import view_in_epoch
from zoo_core.frozen.input_planner import InputPlanner
from zoo_core.frozen.split import Tail
from zoo_core.model.assemble import Model
from zoo_core.model.solvers import Solvable
from zoo_core.runs.epochs import EpochReport
from zoo_core.settings import ResolvedSettings
from zoo_core.tasks.metrics import Evaluation
from zoo_core.tasks.objective import Objective
from zoo_core.training.callback import Callback
from zoo_core.training.checkpoint import Checkpoint
from zoo_core.training.phase_trainer import EvaluationStopped, PhaseTrainer, StepError, batch_norm_updates
from zoo_core.training.progress import Position
from zoo_core.training.range_test import range_test
from zoo_core.training.regularisers import L2SP, Ema, Mixing
from zoo_core.training.schedule import Rates, make_optimizer, parameter_groups, schedule, set_rates
from zoo_core.training.solve import only_solved
from zoo_core.training.stopping import Interrupted, StopRequest
from zoo_core.training.trainer_state import TrainerState

READ_EVERY = 16  # steps after which the loss is read from a device, and processes tell each other: it waits for both


@dataclass(frozen=True)
class History:
    """The history of a training and its best epoch, whose weights the model holds.

    `lr` is the peak learning rate of the head, None if a range test had no steps in which to find it.
    """

    epochs: tuple[EpochReport, ...]
    best: int
    lr: float | None


@dataclass
class Trainer:
    """Everything a training needs, as plain data and modules. `save` writes a checkpoint under a number."""

    model: Model
    plan: Plan
    config: ResolvedSettings
    planner: InputPlanner
    objective: Objective
    callback: Callback
    stop_request: StopRequest
    save: Callable[[int, Checkpoint], None]

    def __post_init__(self) -> None:
        self._min_batch = 2 * (self.planner.world.size if batch_norm_updates(self.model, self.plan) else 1)
        self.steps = training_steps(len(self.planner.train.part), self.config.batch_size, least=self._min_batch)
        self._loss_on_device = torch.zeros((), device=self.planner.device, dtype=torch.float64)
        self._saved_at = time.monotonic()
        self._work: PhaseTrainer | None = None
        # Both look at the model as it is before anything was learnt or restored.
        self._l2_sp = L2SP(self.model, self.plan, self.config.l2_sp) if self.config.l2_sp else None
        self._ema = Ema(self.model, self.plan, self.config.ema) if self.config.ema else None
        lr = None if self.config.range_test else self.config.lr
        whole = self.config.micro_batch >= self.config.batch_size
        kept, micro_batch = self.planner.caching.signature, None if whole else self.config.micro_batch
        self.state = TrainerState(self.model, self.plan, self.planner.world, kept, micro_batch, lr, self._ema)
        self._stop: int | None = None
        self._save_due = False

    def run(self) -> History:
        """Train as the plan says, on from where the training stands, and leave the best epoch's weights in the model.

        Raises TrainingError when the loss stops being a finite number, Interrupted when somebody asked to stop.
        """
        optimizer: torch.optim.Optimizer | None = None
        first = 0
        for number, phase in enumerate(self.plan.phases):
            end = first + phase.epochs
            if self.state.at.epoch < end:
                work = self._enter(number, optimizer)
                optimizer = work.optimizer
                self.state.restore_optimizer(optimizer)
                try:
                    self._phase(work, first, end)
                except EvaluationStopped:
                    self._stop_here(work)
            first = end
        if self._work is None:  # it was stopped after its last epoch: it is measured as it would have been then
            self._enter(len(self.plan.phases) - 1, None)
        self.state.take_best()
        return History(tuple(self.state.history), self.state.best.epoch, self.state.lr)

    def _enter(self, number: int, before: torch.optim.Optimizer | None) -> PhaseTrainer:
        started = time.perf_counter()
        phase = self.plan.phases[number]
        self.model.apply_rules(self.plan.rules(phase))
        phase_inputs = self.planner.enter(number, self._watch_caching)
        tail = Tail(self.model, phase_inputs.cut, self.config.precision, recompute=self.config.gradient_checkpointing)
        rates = Rates.of(self.config, self.plan, phase)
        # Where the base is pulled back to its start, a pull to zero would be one too many.
        decay, base_decays = self.config.weight_decay, not self.config.l2_sp
        groups = parameter_groups(self.model, self.plan, number, rates, decay, base_decays=base_decays)
        optimizer = make_optimizer(self.config, groups, before)
        self.state.at = replace(self.state.at, seconds=self.state.at.seconds + time.perf_counter() - started)
        self._work = PhaseTrainer(
            number=number,
            tail=tail,
            optimizer=optimizer,
            planner=self.planner,
            phase_inputs=phase_inputs,
            objective=self.objective,
            label_smoothing=self.config.label_smoothing,
            mixing=Mixing(self.config.mixup, self.config.cutmix),
            micro_batch=self.state.micro_batch,
            compiled=self.config.compile == "on",
            message=self.callback.message,
            stop_request=self.stop_request,
        )
        return self._work

    def _phase(self, work: PhaseTrainer, first: int, end: int) -> None:
        alone = only_solved(self.plan, self.plan.phases[work.number], self.model.head)
        if isinstance(self.model.head, Solvable) and (
            alone or self.state.at == Position(seconds=self.state.at.seconds)
        ):
            work.solve(self.config.seed)
        if not alone:
            self._set_max_lr(work)
        while self.state.at.epoch < end:
            if alone:
                self._solved(work)
            else:
                self._epoch(work)
            if self.state.out_of_patience(self.config.patience, since=first):
                self.callback.message(f"no better epoch in the last {self.config.patience}: this phase ends here")
                self.state.at = Position(end)
            self._between_steps(work)

    def _set_max_lr(self, work: PhaseTrainer) -> None:
        """Where the rates are shares of one that a range test finds, find it once and multiply."""
        if not self.config.range_test:
            return
        if self.state.lr is None:
            groups = self._groups()
            seen = [[self._seen(index) for index in group] for group in groups]
            self.state.lr = range_test(
                self.model, self.plan, work, seen, lambda loss: sum(self.planner.world.all_gather_object(loss.item()))
            )
            self.callback.message(f"learning rate by a range test: {self.state.lr:.2g}")
        for group in work.optimizer.param_groups:
            group["max_lr"] *= self.state.lr

    def _epoch(self, work: PhaseTrainer) -> None:
        started = time.perf_counter() - self.state.at.seconds
        epoch = self.state.at.epoch
        seen = ([self._seen(index) for index in group] for group in self._groups()[self.state.at.step :])
        for group, inputs in work.train_inputs(seen):
            try:
                self._step(work, group, inputs)
            except TrainingError as error:
                if self.planner.world.size == 1 or not isinstance(error, StepError):  # all processes save together
                    self._save_if_finite(work)
                raise
            self.state.at = replace(self.state.at, step=self.state.at.step + 1, seconds=time.perf_counter() - started)
            self.callback.on_step(epoch + 1, self.state.at.step, self.steps)
            if self.state.at.step < self.steps:
                self._between_steps(work)
        self._read_loss()
        self._measure(work, started)

    def _groups(self) -> list[Sequence[int]]:
        """The images of each step of this epoch."""
        part, size = self.planner.train.part, self.config.batch_size
        windows = windows_of(part.images)
        seed, epoch = self.config.seed, self.state.at.epoch
        return training_groups(len(part), size, seed=seed, epoch=epoch, windows=windows, least=self._min_batch)

    def _solved(self, work: PhaseTrainer) -> None:
        """The one epoch of a phase in which the head was solved and nothing else learns."""
        started = time.perf_counter() - self.state.at.seconds
        self.state.at = replace(self.state.at, loss_sum=work.training_loss() * len(self.planner.train.part))
        self.callback.on_step(self.state.at.epoch + 1, self.steps, self.steps)
        self._report(work.evaluate(), work.number, started)

    def _step(self, work: PhaseTrainer, group: Sequence[ImageView], inputs: Tensor) -> None:
        step = self.state.at.epoch * self.steps + self.state.at.step
        set_rates(work.optimizer, step, self.plan.epochs * self.steps, self.steps, self.config.warmup)
        self._loss_on_device += work.gradients(group, inputs) * len(group)
        self.state.micro_batch = work.micro_batch
        if not is_accelerator(self.planner.device) or step % READ_EVERY == 0:
            self._read_loss()
        if self._l2_sp is not None:
            self._l2_sp.add_gradients()
        work.optimizer.step()
        if self._ema is not None:
            self._ema.update()

    def _measure(self, work: PhaseTrainer, started: float) -> None:
        """Evaluate what the epoch gave, or the averaged weights where there are any."""
        with nullcontext() if self._ema is None else self._ema.swapped():
            self._report(work.evaluate(), work.number, started)

    def _report(self, result: Evaluation, number: int, started: float) -> None:
        epoch = self.state.at.epoch
        self._finite(result.loss)
        lr = (self.state.lr or 0.0) * schedule(epoch * self.steps, self.plan.epochs * self.steps, self.config.warmup)
        train_loss = self.state.at.loss_sum / len(self.planner.train.part)
        seconds = time.perf_counter() - started
        score = result.score, result.metric
        report = EpochReport(epoch + 1, number + 1, lr, train_loss, result.loss, *score, seconds)
        self.state.add(report)
        self.callback.on_epoch(report)

    def _seen(self, index: int) -> ImageView:
        views = self.planner.caching.views
        epoch = self.state.at.epoch
        return index, view_in_epoch(epoch, index, views) if views else fresh_view(self.config.seed, epoch)

    def _read_loss(self) -> None:
        """Add the losses of the steps since the last reading; all processes get the same sum, and the same wishes."""
        mine = self._loss_on_device.item(), self.stop_request.signal or 0, self._save_is_due
        everyone = self.planner.world.all_gather_object(mine)
        self._loss_on_device.zero_()
        self._stop = max(signum for _, signum, _ in everyone) or None
        self._save_due = any(due for _, _, due in everyone)
        loss = sum(part for part, _, _ in everyone)
        self._finite(loss)
        self.state.at = replace(self.state.at, loss_sum=self.state.at.loss_sum + loss)

    def _finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            where = f"epoch {self.state.at.epoch + 1}, step {min(self.state.at.step + 1, self.steps)} of {self.steps}"
            raise TrainingError(
                f"the loss is {loss} in {where}: the training diverged and stopped there. Try a smaller --lr "
                f"(now {self.state.lr or 0:g}); the epochs before are in the run directory."
            )

    def _between_steps(self, work: PhaseTrainer) -> None:
        """Save where it is time to, and stop where somebody asked for it; several processes as they last agreed."""
        together = self.planner.world.size > 1
        signum = self._stop if together else self.stop_request.signal
        if (self._save_due if together else self._save_is_due) or signum is not None:
            self._save(work)
        if signum is not None:
            raise Interrupted(
                f"{'interrupted' if signum == signal.SIGINT else 'terminated'} in epoch "
                f"{min(self.state.at.epoch + 1, self.plan.epochs)}; all that was done is saved.",
                signum,
            )

    def _save(self, work: PhaseTrainer) -> None:
        self._read_loss()
        checkpoint = self.state.checkpoint(work.optimizer)
        if self.planner.world.is_main:
            self.save(self.state.at.epoch * self.steps + self.state.at.step, checkpoint)
        self._saved_at, self._save_due = time.monotonic(), False

    @property
    def _save_is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self.config.save_every

    def _save_if_finite(self, work: PhaseTrainer) -> None:
        """Save the state before the step that failed; on a device, whose loss is read late, it may be spoilt already."""
        self._loss_on_device.zero_()
        work.undo_forward()
        if all(self.planner.world.all_gather_object(self.state.is_finite)):
            self._save(work)

    def restore(self, start: Checkpoint) -> None:
        """Stand where a checkpoint was written. Raises TrainingError when it is not one of this training."""
        self.state.restore(start, self.steps)

    def evaluate_best(self) -> Evaluation | None:
        """Count on the validation images what `run` left in the model. None when what the last phase computes from is
        not what these weights would give in float32, or when no phase was entered."""
        work = self._work
        if work is None or self.config.precision != "float32":
            return None
        if any(self.plan.frozen_depth(phase) < work.phase_inputs.cut.stages for phase in self.plan.phases):
            return None
        try:
            return work.evaluate()
        except EvaluationStopped:
            self._stop_here(work)

    def stop_if_requested(self, done: int, total: int) -> None:
        """Stop when somebody asked for it while the trained model is measured; several processes go on to the end."""
        if self.planner.world.size == 1 and self.stop_request.signal is not None and self._work is not None:
            self._stop_here(self._work)

    def _stop_here(self, work: PhaseTrainer) -> NoReturn:
        """Save and stop as all processes wish, in the middle of a measurement, which is made again on resuming."""
        self._read_loss()
        self._between_steps(work)
        raise AssertionError("nobody asked to stop")

    def _watch_caching(self, done: int, total: int) -> None:
        self.callback.on_caching(done, total)
        if self.stop_request.signal is not None:
            raise Interrupted(
                "stopped while the frozen part was computed; what was computed is kept.", self.stop_request.signal
            )
