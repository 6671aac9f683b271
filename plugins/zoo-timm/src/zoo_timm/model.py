"""Any network of timm as a chain of stages."""

from __future__ import annotations

import ast
import functools
from typing import Any

import timm
import torch
from torch import nn

from zoo_core import CLASSIFIER, Chain, NoOptions
from zoo_timm.cutting import Slices, classifier_of, find_slices, stages_of, upstream_of
from zoo_timm.syntax import method_of, source_of


def build(options: NoOptions, *, variant: str) -> Chain:
    """Build timm's network of the name `variant`."""
    return chain_of(network(variant), slices_of(variant))


def network(name: str) -> nn.Module:
    """timm's own network, freshly initialised. Position embeddings follow the image's size where timm can do that."""
    try:
        return timm.create_model(name, pretrained=False, dynamic_img_size=True)
    except TypeError:  # most architectures have no such setting
        return timm.create_model(name, pretrained=False)


@functools.lru_cache(maxsize=2)  # zoo builds a network twice: for its shapes, and with numbers
def slices_of(name: str) -> Slices:
    """The slices of an architecture, found on the meta device."""
    with torch.device("meta"):
        net = network(name).eval()
        return find_slices(net, torch.empty(1, *settings_of(net)["input_size"]))


def settings_of(net: nn.Module) -> Any:
    """timm's settings of a network's default weights."""
    return net.pretrained_cfg


def chain_of(net: nn.Module, slices: Slices) -> Chain:
    """The network as a chain, with the very modules of the network."""
    stages = stages_of(net, slices)
    if has_classifier(net):
        stages[CLASSIFIER] = classifier_of(net, channels_last=slices.parts[-1].leave)
    upstream = {short: path for name, stage in stages.items() for short, path in upstream_of(name, stage).items()}
    return Chain(stages, upstream)


@functools.lru_cache(maxsize=64)
def _classes(name: str) -> dict[str, type[nn.Module]]:
    with torch.device("meta"):
        chain = chain_of(network(name), slices_of(name))
    return {stage: type(module) for stage, module in chain.named_children()}


def empty_stage(name: str, stage: str) -> nn.Module:
    """An instance of the class of an architecture's stage, which pickle fills."""
    return object.__new__(_classes(name)[stage])


def has_classifier(net: nn.Module) -> bool:
    """Whether the network has layers behind its features; encoders of other models have none."""
    return hasattr(net, "forward_head") and not isinstance(
        source_of(method_of(net, "forward_head")).body[-1], ast.Raise
    )
