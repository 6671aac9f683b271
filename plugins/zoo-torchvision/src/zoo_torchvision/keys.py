"""Translates the keys of published files to those of torchvision's networks of today.

torchvision translates them too when it loads these files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

LAYERS = {"linear_1": "0", "linear_2": "3"}
"""The places of the MLP's two linear layers in the sequence that replaced the class of its own."""


def densenet(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`denselayer1.norm.1.weight` becomes `denselayer1.norm1.weight`."""
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key): one for key, one in tensors.items()}


def vision_transformer(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`mlp.linear_1.weight` becomes `mlp.0.weight`, and `mlp.linear_2.weight` `mlp.3.weight`."""
    return {re.sub(r"(?<=\.mlp\.)linear_[12]", lambda old: LAYERS[old[0]], key): one for key, one in tensors.items()}
