"""A model in two parts: the frozen prefix, a fixed function of the image, and the tail that is
trained.

Shapes: B batch, C channels, H height, W width, F features, K outputs.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zoo_core.attribution import mark_owner, marked_owner
from zoo_core.devices.precision import full_precision
from zoo_core.frozen.onednn import by_onednn
from zoo_core.frozen.sums import add_in_place
from zoo_core.model.assemble import Model
from zoo_core.model.chain import freeze_part
from zoo_core.model.memory_format import laid_out
from zoo_core.model.shapes import StageShapes
from zoo_core.model.solvers import Solvable
from zoo_core.tiles.trained import TilesInTraining

with warnings.catch_warnings():  # torch 2.11 warns of a part of itself that it loads there
    warnings.simplefilter("ignore")
    from torch.fx.experimental.optimization import fuse

VERSION = 7
"""Grows when this module computes other numbers from the same network, or `keys` other names:
features cached before are not found again."""

# Modules without parameters and random numbers. A head's own module declares itself one by the
# attribute `fixed`.
FIXED = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Identity)


@dataclass(frozen=True, order=True)
class SplitPoint:
    """A place in a model: after the first `stages` of its backbone, or after the fixed beginning of
    the head as well; before the last stage `pooled` means the average of each channel of a map or
    of tokens."""

    stages: int
    pooled: bool = False


def fixed_beginning(head: nn.Module) -> list[nn.Module]:
    """The modules at the beginning of a head that have no parameters, such as its pooling."""
    found: list[nn.Module] = []
    for module in head if isinstance(head, nn.Sequential) else ():
        if not (isinstance(module, FIXED) or getattr(module, "fixed", False)):
            break
        found.append(module)
    return found


def averages_maps(head: nn.Module) -> bool:
    """Whether the fixed beginning of a head does nothing but average the maps of any stage."""
    return [type(module) for module in fixed_beginning(head)] == [nn.AdaptiveAvgPool2d, nn.Flatten]


def pooled_by(head: nn.Module) -> nn.Module:
    """The fixed beginning of a head as one module."""
    return nn.Sequential(*fixed_beginning(head))


class Tail(nn.Module):
    """The model behind a split point, with the very modules of the model: features there to outputs
    (B, K). With `recompute` gradients take less memory, and with `tiles` they come from
    convolutions that are computed from tiles."""

    def __init__(self, model: Model, split: SplitPoint, *, recompute: bool = False, tiles: bool = False) -> None:
        super().__init__()
        self.recompute, self.tiles = recompute, tiles
        names = model.backbone.stages[split.stages :]
        self.stages = nn.ModuleList(model.backbone.stage(name) for name in names)
        self.rules = [model.backbone.rules[name] for name in names]
        skipped = len(fixed_beginning(model.head)) if split.pooled else 0
        self.head = nn.Sequential(*list(model.head.children())[skipped:]) if skipped else model.head
        self.head_rule = model.head_rule
        self._statistics: AbstractContextManager[object] = nullcontext()
        self.whole_head = (model.head,)  # in a tuple: its modules must not be counted twice
        self.pooled = split.pooled

    def forward(self, inputs: Tensor) -> Tensor:
        # A clone: the first stage may begin in place, and the step may be computed again from these
        # inputs.
        inputs = inputs.clone() if len(self.stages) else inputs
        for stage in self.stages:
            compute = self._recomputed if self.recompute and torch.is_grad_enabled() else self._computed
            inputs = compute(stage, inputs)
        with self._statistics:
            outputs_BK: Tensor = self.head(inputs)
        return full_precision(outputs_BK)  # a training step may compute them in bfloat16

    @contextmanager
    def taking_statistics(self, mode: AbstractContextManager[object] | None) -> Iterator[None]:
        """In this context the modules compute within `mode`, in which a batch norm takes its statistics
        from more than its own batch; those too that are computed again for the gradients."""
        self._statistics = mode or nullcontext()
        try:
            yield
        finally:
            self._statistics = nullcontext()

    def _computed(self, stage: nn.Module, inputs: Tensor) -> Tensor:
        with self._statistics, TilesInTraining() if self.tiles and torch.is_grad_enabled() else nullcontext():
            outputs: Tensor = stage(inputs)
        return outputs

    def _recomputed(self, stage: nn.Module, inputs: Tensor) -> Tensor:
        """Gradient checkpointing (Chen et al. 2016, arXiv 1604.06174): the activations inside the
        stage are not stored but computed again for the gradients, with the same random numbers; its
        statistics move once."""

        def contexts() -> tuple[AbstractContextManager[object], AbstractContextManager[object]]:
            return nullcontext(), statistics_unchanged(stage)

        # A clone: a stage that begins in place would be computed again from inputs that it has
        # changed.
        output: Tensor = checkpoint(
            lambda inputs: self._computed(stage, inputs.clone()), inputs, use_reentrant=False, context_fn=contexts
        )
        return output

    def reduced(self, inputs: Tensor) -> Tensor:
        """The features (B, F) from which a head is solved."""
        (head,) = self.whole_head
        assert isinstance(head, Solvable)
        for stage in self.stages:
            inputs = stage(inputs)
        return inputs if self.pooled else head.reduce(inputs)

    def described(self, inputs: Tensor) -> Tensor:
        """The features (B, F) behind the head's pooling, or the average of the last stage's
        cells."""
        for stage in self.stages:
            inputs = stage(inputs)
        return full_precision(averaged(inputs if self.pooled else pooled_by(self.whole_head[0])(inputs)))

    def train(self, mode: bool = True) -> Tail:
        """Set training mode for the trainable parts; the frozen ones stay in evaluation mode."""
        super().train(mode)
        for stage, rule in zip(self.stages, self.rules, strict=True):
            freeze_part(stage, rule)
        freeze_part(self.head, self.head_rule)
        return self


class FrozenPrefix(nn.Module):
    """The model up to its last split point: normalised images (B, C, H, W) to the features at each
    split point; with `tiles` 3 x 3 convolutions of many channels are computed from them."""

    def __init__(self, model: Model, splits: Iterable[SplitPoint], *, tiles: bool = True) -> None:
        super().__init__()
        self.splits = tuple(sorted(splits))
        names = model.backbone.stages[: self.splits[-1].stages]
        self.stages = nn.ModuleList(folded(model.backbone.stage(name), tiles=tiles) for name in names)
        self.pool = nn.Sequential(*fixed_beginning(model.head)).eval()
        self.last = len(model.backbone.stages)
        self.averages_maps = averages_maps(model.head)

    @torch.inference_mode()
    def forward(self, inputs: Tensor, start: SplitPoint = SplitPoint(0)) -> dict[SplitPoint, Tensor]:
        """The features at each split point, from normalised images or from the features at an
        earlier one."""
        found: dict[SplitPoint, Tensor] = {}
        for place in range(start.stages, len(self.stages) + 1):
            if place > start.stages:
                inputs = self.stages[place - 1](inputs)
            if SplitPoint(place) in self.splits:
                # A clone: the next stage may begin in place, as with SiLU(inplace=True).
                found[SplitPoint(place)] = inputs.clone() if place < len(self.stages) else inputs
            if SplitPoint(place, pooled=True) in self.splits:
                as_head = place == self.last or (self.averages_maps and inputs.ndim == 4)  # to the last bit
                found[SplitPoint(place, pooled=True)] = self.pool(inputs) if as_head else averaged(inputs)
        return found


def averaged(features: Tensor) -> Tensor:
    """The average of each channel of maps (B, C, H, W) or tokens (B, N, C): (B, C). Others are
    flattened."""
    if features.ndim == 4:
        return features.mean((2, 3))
    return features.mean(1) if features.ndim == 3 else features.flatten(1)


def folded(stage: nn.Module, *, tiles: bool = True) -> nn.Module:
    """The stage as it computes in evaluation, with batch normalisation folded into the convolutions
    before it, and with the products that oneDNN computes fastest.

    In a stage that torch.fx cannot trace nothing is folded.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in stage.modules()):
        return by_onednn(stage, tiles=tiles)
    still = copy.deepcopy(stage).eval().requires_grad_(False)
    try:
        traced = fuse(still)
        mark_owner(traced, marked_owner(stage))
        add_in_place(traced)
        quick = by_onednn(laid_out(traced, torch.channels_last), tiles=tiles)
        graph_class: Any = type(quick)  # each graph has its own, whose call prints a traceback before it raises
        graph_class.__call__ = nn.Module.__call__
        return quick
    except Exception:  # tracing runs the stage's own code, which may do anything
        return by_onednn(laid_out(still, torch.channels_last), tiles=tiles)


def split_shapes(shapes: StageShapes, head: nn.Module) -> dict[SplitPoint, tuple[int, ...]]:
    """The shape of the features of one image at each split point, from those of the stages. Nothing
    is computed but the pooling of zeros."""
    found = {SplitPoint(place): shape for place, shape in enumerate(shapes.values(), start=1)}
    pool = nn.Sequential(*fixed_beginning(head))
    if len(pool):
        with torch.inference_mode():
            pooled = pool(torch.zeros(1, *found[SplitPoint(len(shapes))]))
        found[SplitPoint(len(shapes), pooled=True)] = tuple(pooled.shape[1:])
    return found


@contextmanager
def statistics_unchanged(module: nn.Module) -> Iterator[None]:
    """The statistics of a module stay as they are, whatever passes through it in this context."""
    copies = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, copy in copies:
            buffer.data.copy_(copy)  # by `data`: autograd need not know
