"""Translates weights between torchvision's keys and timm's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

TIMM_CLASSIFIER = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}


def from_timm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate timm's tensors to torchvision's names and shapes.

    timm writes the first two linear layers as convolutions over the whole 7x7 feature map and its 1x1 result: their
    kernels (4096, 512, 7, 7) and (4096, 4096, 1, 1) become matrices (4096, 25088) and (4096, 4096).
    """
    translated = {}
    for key, tensor in tensors.items():
        module, _, name = key.rpartition(".")
        if module in TIMM_CLASSIFIER:
            translated[f"{TIMM_CLASSIFIER[module]}.{name}"] = tensor.flatten(1) if name == "weight" else tensor
        else:
            translated[key] = tensor
    return translated


def to_timm(base: Mapping[str, Tensor], weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """Write average pooling and one linear layer as timm's three layers, exact for feature maps of 7x7 (224 pixels).

    `weight` is (classes, 512), `bias` (classes). The first convolution averages each channel over the map, the second
    is the identity; the ReLUs between them change nothing, because the output of block5 is never negative.
    """
    channels = weight.shape[1]
    average = torch.zeros(4096, channels, 7, 7)
    average[range(channels), range(channels)] = 1 / 49
    hand_on = torch.zeros(4096, 4096, 1, 1)
    hand_on[range(channels), range(channels)] = 1
    wide = torch.zeros(weight.shape[0], 4096)
    wide[:, :channels] = weight
    return {
        **base,
        "pre_logits.fc1.weight": average,
        "pre_logits.fc1.bias": torch.zeros(4096),
        "pre_logits.fc2.weight": hand_on,
        "pre_logits.fc2.bias": torch.zeros(4096),
        "head.fc.weight": wide,
        "head.fc.bias": bias,
    }
