"""The training loop.

    for phase in plan.phases:                     # finished phases are skipped on resume
        freeze; cache the frozen prefix's features at the split point (once); new optimizer that inherits its moments
        solve the head, if it has a closed form; find the learning rate, if that is to be found (once)
        for epoch in phase:
            for batch in order(seed, epoch)[steps done:]:
                set lr, accumulate gradients (micro-batches, memory fallback), L2-SP, optimizer.step, EMA
                read the loss (every 16 steps on a GPU), save if due, stop if asked
            evaluate (EMA weights), remember the best, early stopping
    load the best epoch's weights

`TrainerState` and the seed decide everything that follows, so a run that is resumed between any two steps ends with the bytes
of a run that was never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NoReturn, TypeVar

from zoo_core.data.batches import Batches, training_steps
from zoo_core.devices.kinds import kind_of
from zoo_core.errors import TrainingError
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.input_planner import InputPlanner
from zoo_core.frozen.inputs import ImageInputs
from zoo_core.frozen.split import Tail
from zoo_core.model.assemble import Model
from zoo_core.model.solvers import Solvable
from zoo_core.runs.epochs import EpochReport
from zoo_core.settings import ResolvedSettings
from zoo_core.tasks.objective import Objective
from zoo_core.training.agreement import Agreement
from zoo_core.training.callback import Callback
from zoo_core.training.checkpoint import Checkpoint
from zoo_core.training.evaluator import EvaluationStopped, Evaluator
from zoo_core.training.memory import MemoryPolicy, StepError
from zoo_core.training.phase_trainer import PhaseTrainer, phase_optimizer
from zoo_core.training.regularisers import L2SP, Ema
from zoo_core.training.solve import only_solved
from zoo_core.training.stopping import Interrupted, StopRequest, stopped_by
from zoo_core.training.train_step import Batch, TrainStep
from zoo_core.training.trainer_state import TrainerState

T = TypeVar("T")
READ_EVERY = 16  # steps between two readings of the loss from a GPU, at which processor and GPU, and the ranks, wait


@dataclass(frozen=True)
class History:
    """The epochs of a training, the number of the best one, whose weights the model holds, and the head's peak rate."""

    epochs: tuple[EpochReport, ...]
    best: int
    lr: float | None


@dataclass
class Trainer:
    """A model with a plan and all that its training needs. `save` writes a checkpoint under a number."""

    model: Model
    plan: Plan
    config: ResolvedSettings
    planner: InputPlanner
    objective: Objective
    callback: Callback
    stop_request: StopRequest
    save: Callable[[int, Checkpoint], None]

    def __post_init__(self) -> None:
        world, train, val = self.planner.world, self.planner.train, self.planner.val
        self.steps = training_steps(len(train.part), self.config.batch_size)
        # Both remember the model before any training, also if a checkpoint is loaded later.
        self._l2_sp = L2SP(self.model, self.plan, self.config.l2_sp) if self.config.l2_sp else None
        self._ema = Ema(self.model, self.plan, self.config.ema) if self.config.ema else None
        self.state = TrainerState(
            self.model,
            self.plan,
            world,
            self.planner.device,
            steps_per_epoch=self.steps,
            cached=self.planner.caching.signature,
            micro_batch=self.config.micro_batch if self.config.micro_batch < self.config.batch_size else None,
            lr=None if self.config.lr_search else self.config.lr,
            ema=self._ema,
            metric=self.objective.metric,
            is_steady=self.config.best_epoch == "steady",
            val_images=0 if val is None else len(val.part),
        )
        self.evaluator = Evaluator(self.objective, self.planner.device, world, self.stop_request)
        self._agreement = Agreement(world, self.planner.device, self.stop_request, self.config.save_every)
        self._phase: PhaseTrainer | None = None

    def run(self) -> History:
        """Train on from the state to the end of the plan, and leave the best epoch's weights in the model.

        Raises TrainingError if the loss is not a finite number, and Interrupted after a stop request.
        """
        try:
            for number, last_epoch in enumerate(accumulate(phase.epochs for phase in self.plan.phases)):
                if self.state.epoch >= last_epoch:
                    continue
                phase = self.enter_phase(number)
                if isinstance(self.model.head, Solvable) and (phase.solved or self.state.is_at_start):
                    phase.solve_head(self.evaluator)
                if self.config.lr_search and not phase.solved:
                    self._find_lr(phase)
                while self.state.epoch < phase.end:
                    self._train_epoch(phase)
                    self._evaluate_epoch(phase)
                    self._save_or_stop()
        except EvaluationStopped:
            self.stop()
        self.state.load_best()
        return History(self.state.told_history(), self.state.best.epoch, self.state.lr)

    def enter_phase(self, number: int) -> PhaseTrainer:
        """Freeze as the phase says, cache the features of its frozen prefix, and make its train step."""
        started = time.perf_counter()
        plan, config, phase = self.plan, self.config, self.plan.phases[number]
        recompute, tiles = config.gradient_checkpointing, config.trains_from_tiles
        self.model.apply_rules(plan.rules(phase))
        inputs = self.planner.enter(number, self._on_caching)
        step = TrainStep(
            tail=Tail(self.model, inputs.split, recompute=recompute, tiles=tiles),
            optimizer=phase_optimizer(self.model, plan, number, config),
            objective=self.objective,
            planner=self.planner,
            split=inputs.split,
            config=config,
            micro_batch=self.state.micro_batch,
            message=self.callback.message,
        )
        first = sum(before.epochs for before in plan.phases[:number])
        solved = only_solved(plan, phase, self.model.head)
        self.state.use_optimizer(step.optimizer, has_stepped=not solved and self.state.global_step > first * self.steps)
        self.state.seconds += time.perf_counter() - started
        self._phase = PhaseTrainer(
            number=number,
            first=first,
            end=first + phase.epochs,
            steps=self.steps,
            config=config,
            planner=self.planner,
            inputs=inputs,
            step=step,
            memory=MemoryPolicy(step, self.callback.message),
            solved=solved,
        )
        return self._phase

    def train_batch(self, phase: PhaseTrainer, batch: Batch) -> bool:
        """Take one step of the optimizer. The value says whether the losses were read, which a GPU
        does seldom.

        Raises TrainingError, before any weight is moved, if the loss is not finite.
        """
        step = self.state.global_step
        phase.set_rates(step)
        self._agreement.add_loss(phase.memory.with_fallback(batch) * batch.global_size)
        self.state.micro_batch = phase.step.micro_batch
        is_read = not kind_of(self.planner.device).is_accelerator or step % READ_EVERY == 0
        if is_read:
            self._read_loss()
        if self._l2_sp is not None:
            self._l2_sp.add_gradients()
        phase.step.optimizer.step()
        if self._ema is not None:
            self._ema.update()
        return is_read

    def measure_best(self, images: Batches, measure: Callable[..., T], *, merged: bool) -> T:
        """Call a method of the evaluator with the weights that `run` left, on the images of a part.

        Raises Interrupted after a stop request, unless the weights were merged, which no checkpoint could undo.
        """
        evaluator, whole = self.evaluator, ImageInputs(images, self.planner.device)
        if merged:
            return measure(replace(evaluator, stop_request=StopRequest()), self.model, whole)
        try:
            part = next(name for name in ("val", "test", "train") if images is getattr(self.planner, name))
            phase = self._phase or (self.enter_phase(len(self.plan.phases) - 1) if part != "test" else None)
            # Features of a prefix that an earlier phase trained may belong to other weights than the best epoch's.
            if phase and all(self.plan.frozen_depth(one) >= phase.inputs.split.stages for one in self.plan.phases):
                inputs = getattr(phase.inputs, part)
                if inputs is not None:
                    return measure(evaluator, phase.step.tail, inputs)
            return measure(evaluator, self.model, whole)
        except EvaluationStopped:
            self.stop()

    def _find_lr(self, phase: PhaseTrainer) -> None:
        """Multiply the phase's rates, which are shares of one, by the rate that is found once a run."""
        if self.state.lr is None:
            started = time.perf_counter()
            self.state.lr = phase.find_lr(self.model, self.evaluator, self.callback.message)
            self.state.seconds += time.perf_counter() - started
        for group in phase.step.optimizer.param_groups:
            group["max_lr"] *= self.state.lr

    def _train_epoch(self, phase: PhaseTrainer) -> None:
        """Take the steps of an epoch that are not done yet; of a head that was solved only the loss is computed."""
        started = time.perf_counter() - self.state.seconds
        epoch = self.state.epoch
        if phase.solved:
            self.state.loss_sum = phase.training_loss(self.evaluator) * len(self.planner.train.part)
            self.callback.on_step(epoch + 1, self.steps, self.steps)
        begun, before = time.perf_counter(), self.state.step
        for batch in () if phase.solved else phase.batches(epoch, self.state.step):
            try:
                is_read = self.train_batch(phase, batch)
            except TrainingError as error:
                if self.planner.world.size == 1 or not isinstance(error, StepError):  # the ranks save together
                    self._save_before_step(phase)
                raise
            self.state.step += 1
            self.state.seconds = time.perf_counter() - started
            if is_read:
                images = min(self.state.step * self.config.batch_size, len(self.planner.train.part))
                speed = (self.state.step - before) * self.config.batch_size / (time.perf_counter() - begun)
                self.callback.on_loss(
                    self.state.loss_sum / images, (self.state.lr or 0.0) * phase.share_of_peak(epoch), speed
                )
            self.callback.on_step(epoch + 1, self.state.step, self.steps)
            if self.state.step < self.steps:
                self._save_or_stop()
        self._read_loss()
        self.state.seconds = time.perf_counter() - started

    def _evaluate_epoch(self, phase: PhaseTrainer) -> None:
        """Evaluate the epoch, by its averaged weights if there are any, and end the phase if it has lost patience."""
        started = time.perf_counter() - self.state.seconds
        with nullcontext() if self._ema is None or phase.solved else self._ema.swapped():
            result = phase.evaluate(self.evaluator)
            self.state.check_finite(0.0 if result is None else result.loss)
            report = EpochReport(
                epoch=self.state.epoch + 1,
                phase=phase.number + 1,
                lr=(self.state.lr or 0.0) * phase.share_of_peak(self.state.epoch),
                train_loss=self.state.loss_sum / len(self.planner.train.part),
                val_loss=None if result is None else result.loss,
                val_score=None if result is None else result.score,
                metric=self.objective.metric.name,
                seconds=time.perf_counter() - started,
                val_error=self.state.error_of(result),
            )
            self.state.end_epoch(report)
        self.callback.on_epoch(replace(report, is_best=self.state.best is report))
        if self.state.out_of_patience(self.config.patience, since=phase.first):
            self.callback.message(self.state.lost_patience(phase.end))
            self.state.move_to(phase.end)

    def _save_or_stop(self) -> None:
        """Save if that is due, and obey a stop request: save, then raise Interrupted. Ranks do as they last agreed."""
        stop = self._agreement.signal
        if stop is not None or self._agreement.save_due:
            self._save()
        if stop is not None:
            word, epoch = stopped_by(stop), min(self.state.epoch + 1, self.plan.epochs)
            raise Interrupted(f"{word} in epoch {epoch}; all that was done is saved.", stop)

    def stop(self) -> NoReturn:
        """Save and stop in the middle of an evaluation, which the resumed run makes again."""
        self._read_loss()
        self._save_or_stop()
        raise AssertionError("an evaluation ends early after a stop request only")

    def _on_caching(self, done: int, total: int) -> None:
        """Report cached images, and obey a stop request, for which nothing need be saved."""
        self.callback.on_caching(done, total)
        if (signal := self.stop_request.signal) is not None:
            raise Interrupted("stopped while the frozen part was computed; what was computed is kept.", signal)

    def _save(self) -> None:
        self._read_loss()
        checkpoint = self.state.state_dict()
        if self.planner.world.is_main:
            self.save(self.state.global_step, checkpoint)
        self._agreement.saved()

    def _save_before_step(self, phase: PhaseTrainer) -> None:
        """Save the state before the step that failed, unless it is spoilt: a GPU's loss is read late."""
        self._agreement.forget_losses()
        phase.memory.undo_forward()
        if all(self.planner.world.all_gather_object(self.state.is_finite)):
            self._save()

    def _read_loss(self) -> None:
        """Add the losses of the steps since the last reading to the epoch's. Raises TrainingError if they are not finite."""
        loss = self._agreement.exchange()
        self.state.check_finite(loss)
        self.state.loss_sum += loss
