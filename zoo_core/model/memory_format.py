"""How the weights of maps lie in memory."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def laid_out(module: M, memory_format: torch.memory_format) -> M:
    """The module itself, with its tensors of four dimensions in this format, and their gradients.

    `Module.to` would lay out those of five dimensions too, of 3D convolutions, and refuse channels
    last for them.
    """

    def of_maps(tensor: Tensor) -> Tensor:
        return tensor.to(memory_format=memory_format) if tensor.ndim == 4 else tensor

    module._apply(of_maps)  # type: ignore[no-untyped-call]  # as `Module.to` does, on any device
    return module
