"""Classifies every image of a part and counts.

Shapes: B batch, C channels, H height, W width, K classes, N images.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo_core.data.batches import Batches, normalised
from zoo_core.specs import Preprocessing
from zoo_core.training.metrics import Evaluation


@torch.inference_mode()
def evaluate(
    model: nn.Module, batches: Batches, device: torch.device, watch: Callable[[int, int], None] | None = None
) -> Evaluation:
    """Classify every image once, in evaluation mode, and count; `watch` is told (images done, of how many)."""
    model.eval()
    outputs, labels, done = [], [], 0
    for pixels_BCHW, labels_B in batches.in_order():
        outputs.append(normalised_outputs(model, pixels_BCHW, batches.preprocessing, device))
        labels.append(labels_B)
        done += len(labels_B)
        if watch:
            watch(done, len(batches.part))
    return counted(torch.cat(outputs), torch.cat(labels))


def counted(outputs_NK: Tensor, labels_N: Tensor) -> Evaluation:
    """What outputs are worth against the labels, on the CPU."""
    classes = outputs_NK.shape[1]
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (labels_N.numpy(), outputs_NK.argmax(1).numpy()), 1)
    return Evaluation(confusion, functional.cross_entropy(outputs_NK, labels_N).item())


def normalised_outputs(
    model: nn.Module, pixels_BCHW: Tensor, preprocessing: Preprocessing, device: torch.device
) -> Tensor:
    """A batch of bytes (B, C, H, W) to outputs (B, K) on the CPU."""
    outputs_BK: Tensor = model(normalised(pixels_BCHW, preprocessing, device))
    return outputs_BK.float().cpu()
