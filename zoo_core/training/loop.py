"""The training loop: phases of a plan, epochs, steps, evaluation; the best epoch's weights are kept.

Every number that decides what comes next stands in `Standing` and in the seed, so that a checkpoint between any two steps
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

from zoo_core.config import FinetuneConfig
from zoo_core.data.batches import Seen, training_groups, training_steps
from zoo_core.data.sources import windows_of
from zoo_core.data.transforms import fresh_view
from zoo_core.devices.transfer import computes_apart
from zoo_core.errors import TrainingError
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.caching import view_in
from zoo_core.frozen.feeds import Feeds
from zoo_core.frozen.front import Tail
from zoo_core.model.assemble import Model
from zoo_core.model.solvers import Solvable
from zoo_core.training.checkpoint import Checkpoint
from zoo_core.training.interrupt import Interrupted, Wish
from zoo_core.training.metrics import Evaluation
from zoo_core.training.phase import PhaseWork, StepError, Unmeasured, norms_learn
from zoo_core.training.progress import Position
from zoo_core.training.range_test import range_test
from zoo_core.training.recipe import Rates, make_optimizer, parameter_groups, schedule, set_rates
from zoo_core.training.regularise import L2SP, Ema, Mixing
from zoo_core.training.solve import only_solved
from zoo_core.training.standing import Standing
from zoo_core.training.tasks import Objective
from zoo_core.training.watcher import EpochReport, Watcher

READ_EVERY = 16  # steps after which the loss is read from a device, and processes tell each other: it waits for both


@dataclass(frozen=True)
class Trained:
    """The history of a training and its best epoch, whose weights the model holds."""

    epochs: tuple[EpochReport, ...]
    best: int


@dataclass
class Loop:
    """Everything a training needs, as plain data and modules. `save` writes a checkpoint under a number."""

    model: Model
    plan: Plan
    config: FinetuneConfig
    feeds: Feeds
    pretrained: bool
    objective: Objective
    watcher: Watcher
    wish: Wish
    save: Callable[[int, Checkpoint], None]

    def __post_init__(self) -> None:
        self._least = 2 * (self.feeds.world.size if norms_learn(self.model, self.plan) else 1)
        self.steps = training_steps(len(self.feeds.train.part), self.config.images_a_step, least=self._least)
        self._unread = torch.zeros((), device=self.feeds.device, dtype=torch.float64)
        self._saved_at = time.monotonic()
        self._work: PhaseWork | None = None
        # Both look at the model as it is before anything was learnt or restored.
        self._pull = L2SP(self.model, self.plan, self.config.l2_sp) if self.config.l2_sp else None
        self._average = Ema(self.model, self.plan, self.config.ema) if self.config.ema else None
        lr = None if self.config.lr == "auto" else self.config.lr
        kept, micro_batch = self.feeds.caching.choice, self.config.micro_batch
        self.now = Standing(self.model, self.plan, self.feeds.world, kept, micro_batch, lr, self._average)
        self._stop: int | None = None
        self._due = False

    def run(self) -> Trained:
        """Train as the plan says, on from where the training stands, and leave the best epoch's weights in the model.

        Raises TrainingError when the loss stops being a finite number, Interrupted when somebody asked to stop.
        """
        optimizer: torch.optim.Optimizer | None = None
        first = 0
        for number, phase in enumerate(self.plan.phases):
            end = first + phase.epochs
            if self.now.at.epoch < end:
                work = self._enter(number, optimizer)
                optimizer = work.optimizer
                self.now.restore_optimizer(optimizer)
                try:
                    self._phase(work, first, end)
                except Unmeasured:
                    self._stop_here(work)
            first = end
        if self._work is None:  # it was stopped after its last epoch: it is measured as it would have been then
            self._enter(len(self.plan.phases) - 1, None)
        self.now.take_best()
        return Trained(tuple(self.now.history), self.now.best.epoch)

    def _enter(self, number: int, before: torch.optim.Optimizer | None) -> PhaseWork:
        started = time.perf_counter()
        phase = self.plan.phases[number]
        self.model.apply_rules(self.plan.rules(phase))
        feed = self.feeds.enter(number, self._watch_preparing)
        tail = Tail(self.model, feed.cut, self.config.precision, recompute=self.config.gradient_checkpointing)
        rates = Rates.of(self.config, self.plan, phase, pretrained=self.pretrained)
        # Where the base is pulled back to its start, a pull to zero would be one too many.
        decay, base_decays = self.config.weight_decay, not self.config.l2_sp
        groups = parameter_groups(self.model, self.plan, number, rates, decay, base_decays=base_decays)
        optimizer = make_optimizer(self.config, groups, before)
        self.now.at = replace(self.now.at, seconds=self.now.at.seconds + time.perf_counter() - started)
        self._work = PhaseWork(
            number=number,
            tail=tail,
            optimizer=optimizer,
            feeds=self.feeds,
            feed=feed,
            objective=self.objective,
            label_smoothing=self.config.label_smoothing,
            mixing=Mixing(self.config.mixup, self.config.cutmix),
            micro_batch=self.now.micro_batch,
            compiled=self.config.compile == "on",
            say=self.watcher.say,
            wish=self.wish,
        )
        return self._work

    def _phase(self, work: PhaseWork, first: int, end: int) -> None:
        alone = only_solved(self.plan, self.plan.phases[work.number], self.model.head)
        if isinstance(self.model.head, Solvable) and (alone or self.now.at == Position(seconds=self.now.at.seconds)):
            work.solve(self.config.seed)
        if not alone:
            self._set_peaks(work)
        while self.now.at.epoch < end:
            if alone:
                self._solved(work)
            else:
                self._epoch(work)
            if self.now.out_of_patience(self.config.patience, since=first):
                self.watcher.say(f"no better epoch in the last {self.config.patience}: this phase ends here")
                self.now.at = Position(end)
            self._between_steps(work)

    def _set_peaks(self, work: PhaseWork) -> None:
        """Where the rates are shares of one that a range test finds, find it once and multiply."""
        if self.config.lr != "auto":
            return
        if self.now.lr is None:
            groups = self._groups()
            seen = [[self._seen(index) for index in group] for group in groups]
            self.now.lr = range_test(
                self.model, self.plan, work, seen, lambda loss: sum(self.feeds.world.gather(loss.item()))
            )
            self.watcher.say(f"learning rate by a range test: {self.now.lr:.2g}")
        for group in work.optimizer.param_groups:
            group["peak"] *= self.now.lr

    def _epoch(self, work: PhaseWork) -> None:
        started = time.perf_counter() - self.now.at.seconds
        epoch = self.now.at.epoch
        seen = ([self._seen(index) for index in group] for group in self._groups()[self.now.at.step :])
        for group, flow in work.train_flow(seen):
            try:
                self._step(work, group, flow)
            except TrainingError as error:
                if self.feeds.world.size == 1 or not isinstance(error, StepError):  # all processes save together
                    self._keep_what_is_good(work)
                raise
            self.now.at = replace(self.now.at, step=self.now.at.step + 1, seconds=time.perf_counter() - started)
            self.watcher.step(epoch + 1, self.now.at.step, self.steps)
            if self.now.at.step < self.steps:
                self._between_steps(work)
        self._read_loss()
        self._measure(work, started)

    def _groups(self) -> list[Sequence[int]]:
        """The images of each step of this epoch."""
        part, size = self.feeds.train.part, self.config.images_a_step
        windows = windows_of(part.images)
        seed, epoch = self.config.seed, self.now.at.epoch
        return training_groups(len(part), size, seed=seed, epoch=epoch, windows=windows, least=self._least)

    def _solved(self, work: PhaseWork) -> None:
        """The one epoch of a phase in which the head was solved and nothing else learns."""
        started = time.perf_counter() - self.now.at.seconds
        self.now.at = replace(self.now.at, loss_sum=work.training_loss() * len(self.feeds.train.part))
        self.watcher.step(self.now.at.epoch + 1, self.steps, self.steps)
        self._report(work.evaluate(), work.number, started)

    def _step(self, work: PhaseWork, group: Sequence[Seen], flow: Tensor) -> None:
        step = self.now.at.epoch * self.steps + self.now.at.step
        set_rates(work.optimizer, step, self.plan.epochs * self.steps, self.steps, self.config.warmup)
        self._unread += work.gradients(group, flow) * len(group)
        self.now.micro_batch = work.micro_batch
        if not computes_apart(self.feeds.device) or step % READ_EVERY == 0:
            self._read_loss()
        if self._pull is not None:
            self._pull.add_gradients()
        work.optimizer.step()
        if self._average is not None:
            self._average.update()

    def _measure(self, work: PhaseWork, started: float) -> None:
        """Evaluate what the epoch gave, or the averaged weights where there are any."""
        with nullcontext() if self._average is None else self._average.swapped():
            self._report(work.evaluate(), work.number, started)

    def _report(self, result: Evaluation, number: int, started: float) -> None:
        epoch = self.now.at.epoch
        self._finite(result.loss)
        lr = (self.now.lr or 0.0) * schedule(epoch * self.steps, self.plan.epochs * self.steps, self.config.warmup)
        train_loss = self.now.at.loss_sum / len(self.feeds.train.part)
        seconds = time.perf_counter() - started
        score = result.score, result.metric
        report = EpochReport(epoch + 1, number + 1, lr, train_loss, result.loss, *score, seconds)
        self.now.add(report)
        self.watcher.epoch(report)

    def _seen(self, index: int) -> Seen:
        views = self.feeds.caching.views
        epoch = self.now.at.epoch
        return index, view_in(epoch, index, views) if views else fresh_view(self.config.seed, epoch)

    def _read_loss(self) -> None:
        """Add the losses of the steps since the last reading; all processes get the same sum, and the same wishes."""
        mine = self._unread.item(), self.wish.signum or 0, self._save_is_due
        everyone = self.feeds.world.gather(mine)
        self._unread.zero_()
        self._stop = max(signum for _, signum, _ in everyone) or None
        self._due = any(due for _, _, due in everyone)
        loss = sum(part for part, _, _ in everyone)
        self._finite(loss)
        self.now.at = replace(self.now.at, loss_sum=self.now.at.loss_sum + loss)

    def _finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            where = f"epoch {self.now.at.epoch + 1}, step {min(self.now.at.step + 1, self.steps)} of {self.steps}"
            raise TrainingError(
                f"the loss is {loss} in {where}: the training diverged and stopped there. Try a smaller --lr "
                f"(now {self.now.lr or 0:g}); the epochs before are in the run directory."
            )

    def _between_steps(self, work: PhaseWork) -> None:
        """Save where it is time to, and stop where somebody asked for it; several processes as they last agreed."""
        together = self.feeds.world.size > 1
        signum = self._stop if together else self.wish.signum
        if (self._due if together else self._save_is_due) or signum is not None:
            self._save(work)
        if signum is not None:
            raise Interrupted(
                f"{'interrupted' if signum == signal.SIGINT else 'terminated'} in epoch "
                f"{min(self.now.at.epoch + 1, self.plan.epochs)}; all that was done is saved.",
                signum,
            )

    def _save(self, work: PhaseWork) -> None:
        self._read_loss()
        checkpoint = self.now.checkpoint(work.optimizer)
        if self.feeds.world.first:
            self.save(self.now.at.epoch * self.steps + self.now.at.step, checkpoint)
        self._saved_at, self._due = time.monotonic(), False

    @property
    def _save_is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self.config.save_every

    def _keep_what_is_good(self, work: PhaseWork) -> None:
        """Save the state before the step that failed; on a device, whose loss is read late, it may be spoilt already."""
        self._unread.zero_()
        work.undo_forward()
        if all(self.feeds.world.gather(self.now.is_finite)):
            self._save(work)

    def restore(self, start: Checkpoint) -> None:
        """Stand where a checkpoint was written. Raises TrainingError when it is not one of this training."""
        self.now.restore(start, self.steps)

    def evaluate_best(self) -> Evaluation | None:
        """Count on the validation images what `run` left in the model. None when what the last phase computes from is
        not what these weights would give in float32, or when no phase was entered."""
        work = self._work
        if work is None or self.config.precision != "float32":
            return None
        if any(self.plan.front(phase) < work.feed.cut.stages for phase in self.plan.phases):
            return None
        try:
            return work.evaluate()
        except Unmeasured:
            self._stop_here(work)

    def stop_where_wished(self, done: int, total: int) -> None:
        """Stop when somebody asked for it while the trained model is measured; several processes go on to the end."""
        if self.feeds.world.size == 1 and self.wish.signum is not None and self._work is not None:
            self._stop_here(self._work)

    def _stop_here(self, work: PhaseWork) -> NoReturn:
        """Save and stop as all processes wish, in the middle of a measurement, which is made again on resuming."""
        self._read_loss()
        self._between_steps(work)
        raise AssertionError("nobody asked to stop")

    def _watch_preparing(self, done: int, total: int) -> None:
        self.watcher.preparing(done, total)
        if self.wish.signum is not None:
            raise Interrupted(
                "stopped while the frozen part was computed; what was computed is kept.", self.wish.signum
            )
