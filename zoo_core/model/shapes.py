"""Shapes on the meta device: of the features after each stage, and of a head's outputs, with
nothing computed.

A plugin's network is run here first, so its faults are found and named before any work.

Shapes: B batch, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from zoo_core.attribution import marked_owner
from zoo_core.errors import PluginError, reason_of
from zoo_core.layout import Layout
from zoo_core.model.chain import Chain
from zoo_core.model.lean_torch import ShapeInference

StageShapes = Mapping[str, tuple[int, ...]]
"""The shape of each stage's output for one image, as (C, H, W) or (N, C), stage by stage."""


def stage_shapes(chain: Chain, channels: int, size: int) -> StageShapes:
    """The shape of each stage's output for one square image of `size` pixels.

    The chain may be on any device, and stays as it is. Raises PluginError that names the first
    stage that fails, that puts out anything but one float32 tensor, or that holds numbers of
    another type.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    features = torch.empty(1, channels, size, size, device="meta")
    for name, stage in chain.named_children():
        subject = f"{marked_owner(stage) or 'the chain'}: its stage '{name}'"
        given = tuple(features.shape)
        features = _on_meta(stage, features, subject)
        if not isinstance(features, Tensor):
            raise PluginError(f"{subject} puts out a {type(features).__name__}, and the next one needs one tensor.")
        if features.dtype != torch.float32:
            raise PluginError(f"{subject} makes {_name(features.dtype)} of {given}; zoo trains in float32.")
        shapes[name] = tuple(features.shape[1:])
    return shapes


def check_features(shape: tuple[int, ...], layout: Layout, channels: int, *, owner: str) -> None:
    """Raise PluginError unless the last stage puts out features of the layout and the channels of
    the spec."""
    if not layout.fits(shape):
        needed = "a feature map (B, C, H, W)" if layout.kind == "map" else f"{layout} (B, N, C)"
        raise PluginError(
            f"{owner} puts out {_batched(shape)}, and a head needs {needed}. The spec's `features` name the layout; "
            "pooling and classifier belong into the stage zoo_core.CLASSIFIER, which a head replaces."
        )
    if layout.channels(shape) != channels:
        raise PluginError(f"{owner} puts out {layout.channels(shape)} channels, and its spec says {channels}.")


def check_outputs(head: nn.Module, features: tuple[int, ...], num_outputs: int, *, owner: str) -> None:
    """Raise PluginError unless a head maps features (B, ...) to float32 outputs (B, K)."""
    outputs = _on_meta(head, torch.empty(2, *features, device="meta"), owner)  # two: one could be any dimension
    if not isinstance(outputs, Tensor):
        raise PluginError(f"{owner} puts out a {type(outputs).__name__}, not one tensor of outputs (B, K).")
    if tuple(outputs.shape) != (2, num_outputs) or outputs.dtype != torch.float32:
        raise PluginError(
            f"{owner} maps {_batched(features)} to {_batched(tuple(outputs.shape[1:]))} in {_name(outputs.dtype)}, and "
            f"these data need (B, {num_outputs}) in float32."
        )


def loose_tensors(module: nn.Module) -> list[str]:
    """The names of tensors in a module that are neither parameters nor buffers: no device and no
    file gets them."""
    return [name for name, _ in _loose(module)]


def _loose(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            held = value.values() if isinstance(value, dict) and name[0] != "_" else value
            for one in held if isinstance(held, list | tuple) else (held,):
                if isinstance(one, Tensor):
                    yield f"{path}.{name}".lstrip("."), one


def _on_meta(module: nn.Module, inputs: Tensor, subject: str) -> Tensor:
    """The output of a module in evaluation mode, with its parameters and buffers on the meta
    device."""
    state = dict(itertools.chain(module.named_parameters(), module.named_buffers()))
    other = [key for key, tensor in state.items() if tensor.is_floating_point() and tensor.dtype != torch.float32]
    if other:
        raise PluginError(f"{subject} holds {other[0]} in {_name(state[other[0]].dtype)}; zoo trains in float32.")
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    empty = {key: torch.empty(tensor.shape, dtype=tensor.dtype, device="meta") for key, tensor in state.items()}
    try:
        with torch.device("meta"), torch.no_grad(), ShapeInference():
            output: Tensor = functional_call(module, empty, inputs)
    except (Exception, SystemExit) as error:
        loose = loose_tensors(module)
        hint = f" {loose[0]} is a tensor that is no buffer: give it to register_buffer." if loose else ""
        raise PluginError(f"{subject} fails for {tuple(inputs.shape)}: {reason_of(error)}.{hint}") from error
    finally:
        for part, training in modes:
            part.training = training
    return output


def _batched(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['B', *map(str, shape)])})"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
