"""The stages of a backbone from shapes alone: sizes, parameters, multiply-accumulates, receptive
fields.

Shapes: C channels, H height, W width, N tokens, M maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from zoo_core.catalog import Choice
from zoo_core.frozen.storage_types import item_bytes
from zoo_core.model.assemble import build_network, count_parameters, split_base
from zoo_core.model.chain import Chain
from zoo_core.model.shapes import stage_shapes
from zoo_core.options import NoOptions
from zoo_core.profiling.reach import Reach, followed
from zoo_core.settings import FinetuneConfig
from zoo_core.specs import BackboneSpec
from zoo_core.weights.load import build_shapes
from zoo_core.weights_specs import Preprocessing

COUNT_AGREES = 0.03  # of the multiply-accumulates that a spec states; beyond it some function was not counted


@dataclass(frozen=True, eq=False)
class Stage:
    """A stage of a network."""

    name: str
    shape: tuple[int, ...]
    """Of its output for one image: a map (C, H, W) or tokens (N, C)."""
    channels: int
    height: int
    """In cells; patches of tokens count as cells."""
    width: int
    params: int
    macs: int | None
    """Multiply-accumulates for one image; None where some function could not be counted."""
    field: tuple[int, int] | None
    """Height and width in pixels of the part of the image that one cell depends on, at most the
    image; None where it is not known."""
    box: tuple[int, int, int, int] | None
    """That part of the cell in the middle: left, top, right and bottom pixel."""
    cached: int
    """Bytes of one image's features behind this stage in the feature cache; behind the last one
    averaged."""
    maps: npt.NDArray[np.uint8] | None = None
    """The feature maps (M, H, W) that vary most over the image, each from its lowest to its highest
    value."""
    seconds: tuple[float, float] | None = None
    """For one image: of a forward pass, and of a training step."""


def stages_of(choice: Choice[BackboneSpec], preprocessing: Preprocessing) -> tuple[Stage, ...]:
    """The stages of a backbone, from shapes alone."""
    spec, size = choice.spec, preprocessing.size
    network = build_shapes(lambda: build_network(choice)).eval()
    base, _ = split_base(network, choice)
    shapes = stage_shapes(base, preprocessing.channels, size)
    rows = {name: (macs, reach) for name, macs, reach in followed(base.named_children(), preprocessing.channels, size)}
    is_counted = _is_counted(network, choice.whole or spec)
    number_bytes = item_bytes(FinetuneConfig(backbone=str(choice)).cache_dtype)
    found = []
    for name, module in base.named_children():
        macs, reach = rows[name]
        channels, height, width = _sizes(spec, shapes[name])
        field, box = _field(reach, height, width, size)
        is_last = name == base.stages[-1]
        found.append(
            Stage(
                name=name,
                shape=shapes[name],
                channels=channels,
                height=height,
                width=width,
                params=count_parameters(module),
                macs=macs if is_counted else None,
                field=field,
                box=box,
                cached=number_bytes * (channels if is_last else prod(shapes[name])),
            )
        )
    return tuple(found)


def _is_counted(network: Chain, spec: BackboneSpec) -> bool:
    """Whether the multiply-accumulates of a network add up to the figure of its spec, at the spec's
    size: its classifier may take no other. True where the spec states no figure."""
    if spec.gmacs is None or spec.options is not NoOptions:
        return True
    own = spec.preprocessing
    total = sum(macs for _, macs, _ in followed(network.named_children(), own.channels, own.size)) / 1e9
    return abs(total - spec.gmacs) <= COUNT_AGREES * spec.gmacs


def _sizes(spec: BackboneSpec, shape: Sequence[int]) -> tuple[int, int, int]:
    """Channels, height and width of a stage's output."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    layout = spec.features
    return shape[-1], *(layout.grid(shape) if layout.kind == "tokens" else (1, 1))


def _field(
    reach: Reach | None, height: int, width: int, size: int
) -> tuple[tuple[int, int] | None, tuple[int, int, int, int] | None]:
    """The receptive field of the cell in the middle, and its place in the image."""
    if reach is None:
        return None, None
    if reach.whole:
        return (size, size), (0, 0, size - 1, size - 1)
    sides = []
    for axis, cells in ((reach.height, height), (reach.width, width)):
        first = axis.low + axis.jump * (cells // 2)
        sides.append((max(0, first), min(size - 1, first + axis.size - 1)))
    (top, bottom), (left, right) = sides
    return (min(reach.height.size, size), min(reach.width.size, size)), (left, top, right, bottom)
