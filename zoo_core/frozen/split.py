"""The frozen front of a model is a fixed function of the image: cut off, folded, and computed without gradients.

Shapes: B batch, C channels, H height, W width, F features, K outputs.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.utils.checkpoint import checkpoint

from zoo_core.devices.precision import autocast
from zoo_core.model.assemble import Model
from zoo_core.model.chain import freeze_part
from zoo_core.model.solvers import Solvable
from zoo_core.settings import Precision
from zoo_core.specs import Preprocessing

VERSION = 1
"""Grows when the same front would give other numbers: what was kept before is not found again."""

KEY_LETTERS = 32  # of a sha256: 128 bits

# What stands at the beginning of a head and never learns, nor draws at random. A head's own module says so by `fixed`.
FIXED = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Identity)


@dataclass(frozen=True, order=True)
class SplitPoint:
    """A place in a model: after the first `stages` of its conv base, or after the head's fixed beginning as well."""

    stages: int
    pooled: bool = False


def fixed_beginning(head: nn.Module) -> list[nn.Module]:
    """The modules at the beginning of a head that have nothing to learn, such as its pooling."""
    found: list[nn.Module] = []
    for module in head if isinstance(head, nn.Sequential) else ():
        if not (isinstance(module, FIXED) or getattr(module, "fixed", False)):
            break
        found.append(module)
    return found


class Tail(nn.Module):
    """What comes after a cut, with the very modules of the model: features there to outputs (B, K)."""

    def __init__(
        self, model: Model, cut: SplitPoint, precision: Precision = "float32", *, recompute: bool = False
    ) -> None:
        super().__init__()
        self.precision = precision
        self.recompute = recompute
        names = model.backbone.stages[cut.stages :]
        self.stages = nn.ModuleList(model.backbone.stage(name) for name in names)
        self.rules = [model.backbone.rules[name] for name in names]
        begun = len(fixed_beginning(model.head)) if cut.pooled else 0
        self.head = nn.Sequential(*list(model.head.children())[begun:]) if begun else model.head
        self.head_rule = model.head_rule
        self.whole_head = (model.head,)  # in a tuple: its modules must not be counted twice
        self.pooled = cut.pooled

    def forward(self, inputs: Tensor) -> Tensor:
        with autocast(self.precision, inputs.device):
            for stage in self.stages:
                inputs = (
                    self._recomputed(stage, inputs) if self.recompute and torch.is_grad_enabled() else stage(inputs)
                )
            outputs_BK: Tensor = self.head(inputs)
        return outputs_BK.float()

    def _recomputed(self, stage: nn.Module, inputs: Tensor) -> Tensor:
        """Gradient checkpointing (Chen et al. 2016, arXiv 1604.06174): what the stage computes on its way is not kept but
        computed again for the gradients, with the same random numbers; its statistics move once."""

        def contexts() -> tuple[AbstractContextManager[object], AbstractContextManager[object]]:
            return nullcontext(), statistics_unchanged(stage)

        output: Tensor = checkpoint(stage, inputs, use_reentrant=False, context_fn=contexts)
        return output

    def reduced(self, inputs: Tensor) -> Tensor:
        """The features (B, F) that a head is solved on."""
        (head,) = self.whole_head
        assert isinstance(head, Solvable)
        with autocast(self.precision, inputs.device):
            for stage in self.stages:
                inputs = stage(inputs)
            features_BF = inputs if self.pooled else head.reduce(inputs)
        return features_BF.float()

    def train(self, mode: bool = True) -> Tail:
        """Set training mode for what learns; what is frozen stays in evaluation mode."""
        super().train(mode)
        for stage, rule in zip(self.stages, self.rules, strict=True):
            freeze_part(stage, rule)
        freeze_part(self.head, self.head_rule)
        return self


class FrozenPrefix(nn.Module):
    """The part of a model before its last cut: normalised images (B, C, H, W) to what stands at each cut."""

    def __init__(self, model: Model, splits: Iterable[SplitPoint], precision: Precision = "float32") -> None:
        super().__init__()
        self.precision = precision
        self.splits = tuple(sorted(splits))
        names = model.backbone.stages[: self.splits[-1].stages]
        self.stages = nn.ModuleList(folded(model.backbone.stage(name)) for name in names)
        self.pool = nn.Sequential(*fixed_beginning(model.head)).eval()

    @torch.inference_mode()
    def forward(self, inputs: Tensor, start: SplitPoint = SplitPoint(0)) -> dict[SplitPoint, Tensor]:
        """What stands at each cut, from normalised images or from what stood at an earlier cut."""
        found: dict[SplitPoint, Tensor] = {}
        with autocast(self.precision, inputs.device):
            for place in range(start.stages, len(self.stages) + 1):
                if place > start.stages:
                    inputs = self.stages[place - 1](inputs)
                if SplitPoint(place) in self.splits:
                    found[SplitPoint(place)] = inputs
                if SplitPoint(place, pooled=True) in self.splits:
                    found[SplitPoint(place, pooled=True)] = self.pool(inputs)
        return found


def folded(stage: nn.Module) -> nn.Module:
    """The stage as it computes in evaluation, batch normalisation folded into the convolutions before it.

    A stage that torch.fx cannot trace is taken as it is.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in stage.modules()):
        return stage
    still = copy.deepcopy(stage).eval().requires_grad_(False)
    try:
        return fuse(still).to(memory_format=torch.channels_last)
    except Exception:  # tracing runs the stage's own code, which may do anything
        return still.to(memory_format=torch.channels_last)


def prefix_keys(model: Model, preprocessing: Preprocessing, identity: str) -> dict[SplitPoint, str]:
    """A name for what stands at each cut: equal for equal preprocessing, code (`identity`), structure and weights."""
    digest = hashlib.sha256(f"{VERSION} {preprocessing} {identity}".encode())  # processors compute it fastest
    keys = {}
    for place, name in enumerate(model.backbone.stages, start=1):
        stage = model.backbone.stage(name)
        _add(digest, str(stage), stage.state_dict())
        keys[SplitPoint(place)] = digest.hexdigest()[:KEY_LETTERS]
    for module in fixed_beginning(model.head):
        _add(digest, f"{type(module).__qualname__} {module}", {})
    keys[SplitPoint(len(model.backbone.stages), pooled=True)] = digest.hexdigest()[:KEY_LETTERS]
    return keys


def _add(digest: hashlib._Hash, structure: str, state: Mapping[str, Tensor]) -> None:
    digest.update(structure.encode())
    for name, tensor in state.items():
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)


def split_shapes(shapes: Sequence[tuple[int, ...]], head: nn.Module) -> dict[SplitPoint, tuple[int, ...]]:
    """The shape of one image at each cut, from the shapes (C, H, W) that the stages put out."""
    found = {SplitPoint(place): shape for place, shape in enumerate(shapes, start=1)}
    pool = nn.Sequential(*fixed_beginning(head))
    if len(pool):
        with torch.inference_mode():
            pooled = pool(torch.zeros(1, *shapes[-1]))
        found[SplitPoint(len(shapes), pooled=True)] = tuple(pooled.shape[1:])
    return found


@contextmanager
def statistics_unchanged(module: nn.Module) -> Iterator[None]:
    """What passes through a module in this context does not move its statistics."""
    copies = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, copy in copies:
            buffer.data.copy_(copy)  # by `data`: autograd need not know
