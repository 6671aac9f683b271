"""A network on a device on which zoo has not been proven: it must answer and learn as on the CPU.

Shapes: B batch, C channels, S side.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from zoo_core.devices.kinds import kind_of
from zoo_core.errors import UsageError
from zoo_core.json_index import read_index, write_index
from zoo_core.paths import cache_dir
from zoo_core.weights_specs import Preprocessing
from zoo_core.wording import percent

N = TypeVar("N", bound=nn.Module)
IMAGES = 2
OUTPUTS, GRADIENTS = 1e-3, 1e-2
"""The largest difference that passes, as a share of the largest output, and of the longest gradient
of a tensor. Another order of adding float32 numbers makes some 1e-5."""


@dataclass(frozen=True)
class Difference:
    """How far a device's outputs and gradients are from the CPU's, as shares."""

    outputs: float
    gradients: float

    @property
    def is_small(self) -> bool:
        return self.outputs <= OUTPUTS and self.gradients <= GRADIENTS  # not so of nan


def placed(network: N, device: torch.device, preprocessing: Preprocessing, title: str) -> N:
    """Move a network, in eval mode, to a device.

    Where zoo is not proven on its kind, the outputs and gradients of two random images as it
    expects are compared with the CPU's, once for these versions; raises UsageError where they
    differ.
    """
    kind = kind_of(device)
    if kind.is_proven:
        return network.to(device)
    channels, side = preprocessing.channels, preprocessing.size
    design = hashlib.sha256(f"{network} {channels} {side}".encode()).hexdigest()
    key = [torch.__version__, platform.platform(), str(device), design]
    file = cache_dir() / "devices" / f"{kind.name}-{design[:16]}.json"
    difference = read_index(file, key, lambda found: Difference(float(found["outputs"]), float(found["gradients"])))
    if difference is None:
        difference = measure(network, device, channels, side)
        if difference.is_small:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_index(file, key, {"outputs": difference.outputs, "gradients": difference.gradients})
    if not difference.is_small:
        raise UsageError(
            f"{kind.title} computes {title} otherwise than the CPU, by torch {torch.__version__}: its outputs differ by "
            f"{percent(difference.outputs)} and its gradients by {percent(difference.gradients)}, where {percent(OUTPUTS)} and "
            f"{percent(GRADIENTS)} may be. Use --device cpu, or another version of torch."
        )
    return network.to(device)


def measure(network: nn.Module, device: torch.device, channels: int, side: int) -> Difference:
    """The difference of a network on a device from the same network on the CPU; it ends on the CPU,
    without gradients."""
    generator = torch.Generator().manual_seed(0)
    images_BCSS = torch.randn(IMAGES, channels, side, side, generator=generator)
    was_training = network.training
    try:
        network.eval()
        exact, exact_gradients = _computed(network.to("cpu"), images_BCSS)
        found, gradients = _computed(network.to(device), images_BCSS.to(device))
    finally:
        network.to("cpu").train(was_training).zero_grad(set_to_none=True)
    outputs = ((found - exact).abs().max() / exact.abs().max().clamp(min=1e-30)).item()
    longest = max((one.norm().item() for one in exact_gradients), default=0.0)
    pairs = zip(exact_gradients, gradients, strict=True)
    apart = [(one - other).norm().item() / max(longest, 1e-30) for one, other in pairs]
    return Difference(outputs, max(apart, default=0.0))


def _computed(network: nn.Module, images_BCSS: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The outputs, and the gradients of their sum of squares, on the CPU."""
    network.zero_grad(set_to_none=True)
    trainable = [one for one in network.parameters() if one.requires_grad]
    with torch.inference_mode(False), torch.set_grad_enabled(bool(trainable)):
        outputs = network(images_BCSS)
        if trainable:
            outputs.square().sum().backward()
    zero = torch.zeros(())
    return outputs.detach().cpu(), [zero if one.grad is None else one.grad.cpu() for one in trainable]
