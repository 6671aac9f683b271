"""Networks for the checks: built as zoo builds them, filled so that nothing is a constant, fed
with the same images."""

from __future__ import annotations

import copy
import dataclasses
import functools
import typing
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo_core.catalog import Choice, Entry
from zoo_core.freezing.plan import Rule
from zoo_core.model.assemble import Model, build_network
from zoo_core.model.chain import Chain
from zoo_core.model.heads import pooled
from zoo_core.options import parse_options
from zoo_core.specs import HEAD, BackboneSpec, resolve
from zoo_core.weights.load import build_empty, build_shapes, load_chain

CLOSE = 1e-4
"""The largest difference between two ways to compute the same float32 numbers, as a share of the
largest of them."""


def choice_of(spec: BackboneSpec, options: str = "") -> Choice[BackboneSpec]:
    """The spec as the catalog would choose it."""
    text = with_required(spec.options, options)
    return Choice(Entry(spec, "under test", "0"), parse_options(spec.name, spec.options, text))


def with_required(options: type, text: str) -> str:
    """The text of options, with a small value for each that has no default and is not in it."""
    values = {int: "1", float: "1.0", bool: "true", str: "stem"}
    kinds = typing.get_type_hints(options)
    missing = [
        f"{field.name}={values.get(kinds[field.name], '1')}"
        for field in dataclasses.fields(options)
        if field.default is field.default_factory is dataclasses.MISSING and f"{field.name}=" not in text
    ]
    return ",".join(filter(None, [*missing, text]))


def build(spec: BackboneSpec, options: str = "") -> Chain:
    """The whole published network, built as zoo builds it: on the current default device,
    checked against the spec."""
    return build_network(choice_of(spec, options))


def build_meta(spec: BackboneSpec, options: str = "") -> Chain:
    """The whole published network on the meta device."""
    return build_shapes(lambda: build(spec, options))


def base_of(spec: BackboneSpec) -> Chain:
    """A backbone of the spec, with its numbers, that nobody else has."""
    shared = still_base(spec)
    try:
        return copy.deepcopy(shared).train()
    except Exception:  # a rule of its own says so
        return build(spec).split()[0]


@functools.lru_cache(maxsize=1)  # a large network takes seconds to initialise, so the checks of a spec share it
def still_base(spec: BackboneSpec) -> Chain:
    """The backbone in evaluation mode and stirred, shared by the checks that leave it as it is."""
    torch.manual_seed(0)
    base = build(spec).split()[0].eval()
    stir(base)
    return base


def model_with(base: Chain, spec: BackboneSpec, rule: Rule, head_rule: Rule) -> Model:
    """The base with a small linear head, under one rule for all stages."""
    layers, width = pooled("avg", spec.channels, spec.features)
    model = Model(base, nn.Sequential(*(layer for _, layer in layers), nn.Linear(width, 2)))
    model.apply_rules({**dict.fromkeys(base.stages, rule), HEAD: head_rule})
    return model


def images_of(spec: BackboneSpec, *, batch: int, size: int | None = None) -> Tensor:
    """The same random images (B, C, H, W) each time, of the smallest size by default."""
    generator = torch.Generator().manual_seed(0)
    side = size or smallest(spec)
    return torch.randn(batch, spec.preprocessing.channels, side, side, generator=generator)


def smallest(spec: BackboneSpec, at_least: int = 1) -> int:
    """The smallest image side, from so many pixels on, that the spec says the network takes."""
    sides = range(max(at_least, spec.min_size), spec.preprocessing.size)
    return next((side for side in sides if spec.takes_size(side)), spec.preprocessing.size)


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference of two tensors, as a share of the largest number of the first."""
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-12))


def same_outputs(ours: nn.Module, theirs: nn.Module, *, channels: int, size: int, batch: int = 2) -> float:
    """The largest absolute difference between two networks' outputs on random images, both in
    evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    images_BCHW = torch.randn(batch, channels, size, size, generator=generator)
    with torch.inference_mode():
        return float((ours.eval()(images_BCHW) - theirs.eval()(images_BCHW)).abs().max())


def stir(network: nn.Module) -> None:
    """Fill every constant tensor of a network (a fresh bias, a running variance) with random
    numbers in 0.5..1.5.

    A constant is equal in every fresh network, so a loader that forgets it would go unnoticed.
    """
    generator = torch.Generator().manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point() and (tensor == tensor.flatten()[0]).all():
            tensor.uniform_(0.5, 1.5, generator=generator)


def difference_from(
    upstream: nn.Module,
    spec: BackboneSpec,
    *,
    size: int,
    published: Mapping[str, Tensor] | None = None,
    batch: int = 2,
) -> float:
    """The largest difference between the outputs of a published network and of the spec's with the
    same weights.

    The weights are loaded like a user's, under their published keys: the network's state dict, or
    `published` when the published file holds other tensors. Raises WeightsError when they do not
    fit.
    """
    chain = build_empty(lambda: build(spec))
    tensors = upstream.state_dict() if published is None else published
    load_chain(chain, tensors, path=Path(spec.name), ignored=spec.ignored_keys, classifier=None)
    return same_outputs(chain, upstream, channels=spec.preprocessing.channels, size=size, batch=batch)


def reference_of(spec: BackboneSpec) -> nn.Module | None:
    """The published network that the spec names for comparison, stirred; None where it names
    none."""
    if spec.reference is None:
        return None
    variant = {} if spec.variant is None else {"variant": spec.variant}
    network: nn.Module = resolve(spec.reference)(choice_of(spec).options, **variant)
    stir(network)
    return network
