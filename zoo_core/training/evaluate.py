"""Runs a model over every image of a part and measures it.

Shapes: B batch, C channels, H height, W width, K outputs, N images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo_core.data.batches import Batches
from zoo_core.data.on_device import normalised
from zoo_core.specs import Preprocessing
from zoo_core.tasks.metrics import Evaluation
from zoo_core.tasks.objective import Objective


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Batches,
    device: torch.device,
    objective: Objective,
    watch: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """See every image once, in evaluation mode, and measure; `watch` is told (images done, of how many)."""
    model.eval()
    outputs, targets, done = [], [], 0
    for pixels_BCHW, targets_B in batches.in_order():
        outputs.append(normalised_outputs(model, pixels_BCHW, batches.preprocessing, device))
        targets.append(targets_B)
        done += len(targets_B)
        if watch:
            watch(done, len(batches.part))
    return objective.measure(torch.cat(outputs), torch.cat(targets))


def normalised_outputs(
    model: nn.Module, pixels_BCHW: Tensor, preprocessing: Preprocessing, device: torch.device
) -> Tensor:
    """A batch of bytes (B, C, H, W) to outputs (B, K) on the CPU."""
    outputs_BK: Tensor = model(normalised(pixels_BCHW, preprocessing, device))
    return outputs_BK.float().cpu()
