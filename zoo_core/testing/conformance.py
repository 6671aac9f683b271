"""Checks that every backbone must pass. Each builds the real network and computes at its smallest image size."""

from __future__ import annotations

import copy
import functools
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zoo_core.catalog import Choice, Entry
from zoo_core.freezing.plan import FROZEN, TRAINABLE
from zoo_core.model.assemble import Model, build_network, count_parameters
from zoo_core.model.chain import Chain
from zoo_core.model.heads import pooled
from zoo_core.model.shapes import stage_shapes
from zoo_core.options import parse_options
from zoo_core.specs import HEAD, BackboneSpec
from zoo_core.weights.load import build_empty, load_chain


@dataclass(frozen=True)
class Check:
    """One check of one backbone. Calling it raises AssertionError when the backbone fails."""

    name: str
    run: Callable[[], None]

    def __call__(self) -> None:
        self.run()

    def __str__(self) -> str:
        return self.name


def backbone_checks(plugin: ModuleType) -> list[Check]:
    """All checks for all backbones of a plugin module."""
    checks = [Check(f"{plugin.__name__}: facts import nothing heavy", lambda: _imports_nothing_heavy(plugin.__name__))]
    for spec in plugin.zoo_backbones():
        for function in BACKBONE_CHECKS:
            title = function.__name__.lstrip("_").replace("_", " ")
            checks.append(Check(f"{spec.name}: {title}", functools.partial(function, spec)))
    return checks


def choice_of(spec: BackboneSpec, options: str = "") -> Choice[BackboneSpec]:
    """The spec as the catalog would choose it."""
    return Choice(Entry(spec, "under test", "0"), parse_options(spec.name, spec.options, options))


def build(spec: BackboneSpec, options: str = "") -> Chain:
    """The whole published network, built as zoo builds it: on the current default device, checked against the spec."""
    return build_network(choice_of(spec, options))


def same_outputs(ours: nn.Module, theirs: nn.Module, *, channels: int, size: int, batch: int = 2) -> float:
    """The largest absolute difference between two networks' outputs on random images, both in evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    images_BCHW = torch.randn(batch, channels, size, size, generator=generator)
    with torch.inference_mode():
        return float((ours.eval()(images_BCHW) - theirs.eval()(images_BCHW)).abs().max())


def stir(network: nn.Module) -> None:
    """Fill every constant tensor of a network (a fresh bias, a running variance) with random numbers in 0.5..1.5.

    A constant is equal in every fresh network, so a loader that forgets it would go unnoticed.
    """
    generator = torch.Generator().manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point() and (tensor == tensor.flatten()[0]).all():
            tensor.uniform_(0.5, 1.5, generator=generator)


def difference_from(
    upstream: nn.Module, spec: BackboneSpec, *, size: int, published: Mapping[str, Tensor] | None = None
) -> float:
    """The largest difference between the outputs of a published network and of the spec's with the same weights.

    The weights are loaded like a user's, under their published keys: the network's state dict, or `published` when the
    published file holds other tensors. Raises WeightsError when they do not fit.
    """
    chain = build_empty(lambda: build(spec))
    tensors = upstream.state_dict() if published is None else published
    load_chain(chain, tensors, path=Path(spec.name), ignored=spec.ignored_keys, classifier=None)
    return same_outputs(chain, upstream, channels=spec.preprocessing.channels, size=size)


def _imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in ('torch', 'torchvision', 'numpy') if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]", (
        f"importing {module} imports {answer.stdout.strip()}; import late, in the builder"
    )


def _has_the_channels_and_stride_of_its_spec(spec: BackboneSpec) -> None:
    base = _base_on_meta(spec)
    layout = spec.features
    for size in (spec.min_size, spec.preprocessing.size):
        shape = _shape(base, spec, size)
        assert layout.fits(shape), f"has features of the shape {shape} at {size} pixels; the spec says {layout}"
        channels = layout.channels(shape)
        assert channels == spec.channels, f"has {channels} channels, the spec says {spec.channels}"
        height, width = layout.grid(shape)
        assert height == width, f"has the shape {shape} at {size} pixels, which is no square of cells"
    if spec.size_step is None:
        return
    # Convolutions without padding lose a border, so the stride is measured by the growth of the map, not by its size.
    near, far = (
        layout.grid(_shape(base, spec, size))[0]
        for size in (spec.preprocessing.size, spec.preprocessing.size + 8 * spec.stride)
    )
    assert far - near == 8, f"the feature map grows by {far - near} when the image grows by 8 strides of {spec.stride}"


def _has_the_parameters_of_its_spec(spec: BackboneSpec) -> None:
    with torch.device("meta"):
        network = build(spec)
    if spec.params is not None:
        assert count_parameters(network) == spec.params, f"{count_parameters(network)}, the spec says {spec.params}"


def _costs_the_gmacs_of_its_spec(spec: BackboneSpec) -> None:
    if spec.gmacs is None:
        return
    with torch.device("meta"):
        network = build(spec).eval()
        image = torch.empty(1, spec.preprocessing.channels, spec.preprocessing.size, spec.preprocessing.size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    gmacs = counter.get_total_flops() / 2e9
    assert abs(gmacs - spec.gmacs) <= 0.02 * spec.gmacs, f"{gmacs:.5g} GMAC, the spec says {spec.gmacs}"


def _passes_gradients_everywhere_at_its_smallest_size(spec: BackboneSpec) -> None:
    base = _base(spec)
    base.train()
    features = base(_images(spec, batch=4))
    features.square().mean().backward()
    without = [name for name, parameter in base.named_parameters() if parameter.grad is None]
    assert not without, f"no gradient reaches {without}"


def _keeps_frozen_stages_still(spec: BackboneSpec) -> None:
    base = _base(spec)
    layers, width = pooled("avg", spec.channels, spec.features)
    model = Model(base, nn.Sequential(*(layer for _, layer in layers), nn.Linear(width, 2)))
    model.apply_rules({**dict.fromkeys(spec.stages, FROZEN), HEAD: TRAINABLE})
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    model.train()
    for module in model.modules():
        module.training = True  # goes past every train()
    model(_images(spec, batch=4))
    moved = [name for name, tensor in base.state_dict().items() if not torch.equal(tensor, before[name])]
    assert not moved, f"frozen, and yet these moved: {moved}"


def _has_one_published_key_for_each_tensor(spec: BackboneSpec) -> None:
    with torch.device("meta"):
        network = build(spec)
    keys = [key for key, _ in network.named_upstream()]
    assert len(set(keys)) == len(keys), "two tensors have the same published key"
    clash = [key for key in keys if key.startswith(spec.ignored_keys)] if spec.ignored_keys else []
    assert not clash, f"ignored_keys would drop {clash}, which the network needs"


BACKBONE_CHECKS: tuple[Callable[[BackboneSpec], None], ...] = (
    _has_the_channels_and_stride_of_its_spec,
    _has_the_parameters_of_its_spec,
    _costs_the_gmacs_of_its_spec,
    _passes_gradients_everywhere_at_its_smallest_size,
    _keeps_frozen_stages_still,
    _has_one_published_key_for_each_tensor,
)


def _base(spec: BackboneSpec) -> Chain:
    return copy.deepcopy(_built_base(spec))


@functools.lru_cache(maxsize=1)  # a large classifier takes seconds to initialise, so the checks of a spec share it
def _built_base(spec: BackboneSpec) -> Chain:
    return build(spec).split()[0]


def _shape(base: Chain, spec: BackboneSpec, size: int) -> tuple[int, ...]:
    """The shape of the features of one image."""
    return list(stage_shapes(base, spec.preprocessing.channels, size).values())[-1]


def _base_on_meta(spec: BackboneSpec) -> Chain:
    with torch.device("meta"):
        return build(spec).split()[0]


def _images(spec: BackboneSpec, *, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, spec.preprocessing.channels, spec.min_size, spec.min_size, generator=generator)
