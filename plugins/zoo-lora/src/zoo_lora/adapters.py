"""The adapters, inserted and merged by peft, which is imported when the strategy is first used."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from zoo_core import Chain, UsageError
from zoo_lora.strategy import LoraOptions


def adapt(options: LoraOptions, base: Chain, *, stages: tuple[str, ...]) -> Callable[[], None]:
    """Add an adapter to every layer of these stages that can have one (Hu et al. 2021, arXiv 2106.09685).

    A fresh adapter adds zero, so the base's outputs stay the same. Returns the function that merges the adapters into
    their layers. Raises UsageError when no layer can have one.
    """
    paths = [path for path, layer in base.named_modules() if path.partition(".")[0] in stages and can_be_adapted(layer)]
    if not paths:
        raise UsageError(
            f"'lora' finds nothing to adapt in {', '.join(stages)}: it adapts linear layers and plain convolutions, "
            "those without groups, dilation or a padding of their own. `zoo list strategies` shows other strategies."
        )
    exactly = "|".join(re.escape(path) for path in paths)  # peft takes a list for endings of paths
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=exactly,
    )
    inject_adapter_in_model(config, base)
    return lambda: merge(base)


def can_be_adapted(layer: nn.Module) -> bool:
    """Whether peft computes and merges a layer's adapter correctly.

    Its factors ignore dilation and padding modes, and it cannot merge those of a convolution with groups. A subclass
    may transform its weight before use, so that adding to the weight would give another function.
    """
    if type(layer) is nn.Conv2d:
        return layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros"
    return type(layer) is nn.Linear


@torch.no_grad()
def merge(base: Chain) -> None:
    """Add every adapter to its layer's weight, and put the layer back in its place."""
    adapted = [(path, layer) for path, layer in base.named_modules() if isinstance(layer, LoraLayer)]
    for path, layer in adapted:
        layer.merge()
        base.set_submodule(path, layer.get_base_layer())
    del base.peft_config
