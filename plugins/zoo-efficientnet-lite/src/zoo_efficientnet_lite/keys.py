"""Translates the keys of an older PyTorch port, in which the weights are packaged, to timm's."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from zoo_core import WeightsError
from zoo_efficientnet_lite.model import repeats

OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
WIDENING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def from_package(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename each tensor from the older port's key to timm's.

    The older port numbers all blocks in one row (`_blocks.5`), timm within each group (`blocks.3.0`). Raises
    WeightsError for an unknown key.
    """
    numbers = {int(key.split(".")[1]) for key in state if key.startswith("_blocks.")}
    groups = {sum(repeats(depth)): repeats(depth) for depth in (1.0, 1.1, 1.2)}
    if len(numbers) not in groups:
        raise WeightsError(
            f"{len(numbers)} blocks belong to no EfficientNet-Lite that is known here: {sorted(groups)}."
        )
    places = [f"blocks.{group}.{block}" for group, blocks in enumerate(groups[len(numbers)]) for block in range(blocks)]
    return {_translate(key, state, places): tensor for key, tensor in state.items()}


def _translate(key: str, state: Mapping[str, Tensor], places: list[str]) -> str:
    try:
        if not key.startswith("_blocks."):
            module, _, rest = key.partition(".")
            return f"{OUTSIDE[module]}.{rest}"
        _, number, module, rest = key.split(".")
        names = WIDENING if f"_blocks.{number}._expand_conv.weight" in state else PLAIN
        return f"{places[int(number)]}.{names[module]}.{rest}"
    except (KeyError, IndexError, ValueError):
        raise WeightsError(f"'{key}' is not a key of the EfficientNet-Lite weights. The package has changed.") from None
