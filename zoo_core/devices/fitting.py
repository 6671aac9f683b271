"""As many images at once as the memory of a device holds, where that changes no result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from zoo_core.devices.kinds import kind_of
from zoo_core.errors import is_out_of_memory

T = TypeVar("T")


class Fitting:
    """The number of images that pass a network together, which `fills` says are always as many, with
    whatever in the place of those that lack. It is halved, for good, each time that the
    memory is too small for them."""

    def __init__(self, images: int, *, fills: bool = False) -> None:
        self.images, self.fills = images, fills

    def in_parts(self, compute: Callable[[Tensor], T], inputs: Tensor) -> list[T]:
        """The results of `compute` for the parts of some inputs, in order. Raises the error of a
        single image that does not fit."""
        found: list[T] = []
        done = 0
        while done < len(inputs):
            part = inputs if len(inputs) <= self.images else inputs[done : done + self.images]
            try:
                found.append(compute(part))
                done += len(part)
                continue
            except (RuntimeError, MemoryError) as error:
                together = self.images if self.fills else len(part)
                if together == 1 or not is_out_of_memory(error):
                    raise
            self.images = together // 2
            kind_of(inputs.device).release_memory()  # after the error, which holds the tensors of its frames
        return found
