"""The key names of weights that are not torchvision's own."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

TIMM_CLASSIFIER = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3", "head.fc": "classifier.6"}


def from_timm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate timm's tensors to torchvision's names and shapes.

    timm writes the first two linear layers as convolutions of the whole 7x7 feature map and of its 1x1 answer: their
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
