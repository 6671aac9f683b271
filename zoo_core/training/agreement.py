"""The losses, stop requests and due saves that the ranks exchange at the same time."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from zoo_core.devices.kinds import kind_of
from zoo_core.devices.world import World
from zoo_core.training.stopping import StopRequest


class Agreement:
    """Lets all ranks save and stop after the same step, and sums the losses that are still on the
    device.

    An exchange makes the processor wait for the device, and the ranks for each other. One process
    alone needs none: it sees a stop request, and that a save is due, at once.
    """

    def __init__(self, world: World, device: torch.device, stop_request: StopRequest, save_every: float) -> None:
        self.world, self.stop_request, self.save_every = world, stop_request, save_every
        self._loss = torch.zeros((), device=device, dtype=kind_of(device).sums_in)
        self._signal: int | None = None
        self._save = False
        self._saved_at = time.monotonic()

    def add_loss(self, loss: Tensor) -> None:
        """Add a loss on the device to those that the next exchange sums."""
        self._loss += loss

    def forget_losses(self) -> None:
        self._loss.zero_()

    def exchange(self) -> float:
        """The sum of the losses of all ranks since the last exchange; all ranks call it together."""
        mine = self._loss.item(), self.stop_request.signal or 0, self._interval_is_over
        losses, signals, due = zip(*self.world.all_gather_object(mine), strict=True)
        self._loss.zero_()
        self._signal, self._save = max(signals) or None, any(due)
        return float(sum(losses))

    @property
    def signal(self) -> int | None:
        """The signal that asked to stop, or None."""
        return self.stop_request.signal if self.world.size == 1 else self._signal

    @property
    def save_due(self) -> bool:
        """Whether `save_every` seconds have passed since the last save."""
        return self._interval_is_over if self.world.size == 1 else self._save

    def saved(self) -> None:
        """Begin a new interval until the next save."""
        self._saved_at, self._save = time.monotonic(), False

    @property
    def _interval_is_over(self) -> bool:
        return time.monotonic() - self._saved_at >= self.save_every
