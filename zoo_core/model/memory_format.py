"""How the weights of maps lie in memory."""

from __future__ import annotations

from itertools import chain
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def laid_out(module: M, memory_format: torch.memory_format) -> M:
    """The module itself, with its tensors of four dimensions in this format, and their gradients.

    `Module.to` would lay out those of five dimensions too, of 3D convolutions, and refuse channels
    last for them.
    """
    tensors = chain(module.parameters(), module.buffers())
    for tensor in chain.from_iterable((tensor, tensor.grad) for tensor in tensors):
        if tensor is not None and tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=memory_format)
    return module
