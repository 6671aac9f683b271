"""Remedies against memorising: mixed images, a pull back to the start, averaged weights.

Shapes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import get_ema_multi_avg_fn

from zoo_core.devices.transfer import to_device
from zoo_core.errors import TrainingError
from zoo_core.freezing.plan import Plan
from zoo_core.model.assemble import Model, trainable_parameters
from zoo_core.model.chain import decayed


def mixup(
    images_BCHW: Tensor, targets_BK: Tensor, *, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blend every image of a batch with another one, and their targets alike (Zhang et al., ICLR
    2018).

    All keep one share of their own, drawn from Beta(alpha, alpha) with alpha above 0. Images may be
    feature maps; targets are shares of the classes (one-hot, or already mixed). The generator is a
    CPU one: with its state a training goes on exactly. Returns new tensors of the shapes given.
    """
    share = _share(alpha, generator)
    partners_B = _partners(images_BCHW, generator)
    return images_BCHW.lerp(images_BCHW[partners_B], 1 - share), targets_BK.lerp(targets_BK[partners_B], 1 - share)


def cutmix(
    images_BCHW: Tensor, targets_BK: Tensor, *, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Paste a box of another image into every image of a batch; targets follow the areas (Yun et
    al., ICCV 2019).

    The box is the same in all images. It covers a share drawn from Beta(alpha, alpha), less where
    it reaches over an edge; the targets count the cells that were really pasted. Images may be
    feature maps; a map of one cell has no room for a box and is blended by `mixup`. Otherwise as
    `mixup`.
    """
    height, width = images_BCHW.shape[-2:]
    if height == width == 1:
        return mixup(images_BCHW, targets_BK, alpha=alpha, generator=generator)
    side = (1 - _share(alpha, generator)) ** 0.5
    partners_B = _partners(images_BCHW, generator)
    parts, columns = _span(height, side, generator), _span(width, side, generator)
    mixed_BCHW = images_BCHW.clone()
    mixed_BCHW[..., parts, columns] = images_BCHW[partners_B][..., parts, columns]
    pasted = (parts.stop - parts.start) * (columns.stop - columns.start) / (height * width)
    return mixed_BCHW, targets_BK.lerp(targets_BK[partners_B], pasted)


def _share(alpha: float, generator: torch.Generator) -> float:
    """A draw from Beta(alpha, alpha); torch's own takes no generator."""
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def _partners(images_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    return to_device(torch.randperm(len(images_BCHW), generator=generator), images_BCHW.device)


def _span(size: int, share: float, generator: torch.Generator) -> slice:
    """A stretch of a side, its centre anywhere on it, cut off at the ends."""
    length = round(share * size)
    start = int(torch.randint(size, (), generator=generator)) - length // 2
    return slice(max(0, start), min(size, start + length))


@dataclass(frozen=True)
class Mixing:
    """Which mixture a batch gets: by `mixup`, by `cutmix`, by either in turn of chance where both
    alphas are above 0."""

    mixup: float
    cutmix: float

    def __call__(self, inputs: Tensor, targets: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Mix a batch's images or features, and its targets; labels (B) become shares (B, classes).

        Only images and maps have room for a box: tokens and pooled features are blended.
        """
        if not (self.mixup or self.cutmix):
            return inputs, targets
        shares = functional.one_hot(targets, classes).float() if targets.ndim == 1 else targets
        generator = torch.default_generator
        cut = bool(self.cutmix) and inputs.ndim == 4
        if cut and self.mixup:
            cut = bool(torch.rand((), generator=generator) < 0.5)
        if cut:
            return cutmix(inputs, shares, alpha=self.cutmix, generator=generator)
        return mixup(inputs, shares, alpha=self.mixup or self.cutmix, generator=generator)


class L2SP:
    """Pulls the backbone's trained weights back to where they started (Li, Grandvalet, Davoine,
    ICML 2018).

    The penalty is `strength` / 2 times the squared distance. Norms and biases are left alone, as
    weight decay leaves them, and so are new layers: the head, and those that a strategy added. Made
    while the model holds its start, on its device, also when a training goes on from a checkpoint.
    """

    def __init__(self, model: Model, plan: Plan, strength: float) -> None:
        self.strength = strength
        decaying = {stage: decayed(model.part(stage)) for stage in plan.stages}
        self.starts = {
            parameter: parameter.detach().clone()
            for phase in plan.phases
            for stage in plan.stages
            if (rule := plan.rules(phase)[stage]).parameters != "added"
            for parameter in trainable_parameters(model.part(stage), rule)
            if parameter in decaying[stage]
        }

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the penalty's gradient to those of a backward pass; weights without one are frozen
        and stay so."""
        for parameter, start in self.starts.items():
            if parameter.grad is not None:
                parameter.grad.add_(parameter - start, alpha=self.strength)


class Ema:
    """Moving averages of everything that a plan lets move: trainable parameters, and statistics that
    are updated.

    After n steps they keep the share min(decay, (1 + n) / (10 + n)) of themselves a step, so that
    the first steps, far from where the training ends, are forgotten soon. The model's tensors must
    stay the same objects.
    """

    def __init__(self, model: Model, plan: Plan, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.tensors = _moving(model, plan)
        self.averages = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the model; called after every step of the optimizer."""
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        move = get_ema_multi_avg_fn(keep)  # type: ignore[no-untyped-call]
        move(list(self.averages.values()), list(self.tensors.values()), self.steps)
        self.steps += 1

    @torch.no_grad()
    def restart(self) -> None:
        """Begin anew with the model as it is now."""
        self.steps = 0
        for name, tensor in self.tensors.items():
            self.averages[name].copy_(tensor)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Put the averages into the model, to be measured or copied, and the model's own numbers
        back afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, tensor in self.tensors.items():
            own = tensor.clone()
            tensor.copy_(self.averages[name])
            self.averages[name].copy_(own)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by `stage/name`, and how many steps they have seen, for a checkpoint."""
        return {**self.averages, "steps": torch.tensor(self.steps)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint. Raises TrainingError when it is one of another model or plan."""
        if state.keys() != self.state_dict().keys():
            names = ", ".join(sorted(state.keys() ^ self.state_dict().keys()))
            raise TrainingError(
                f"the checkpoint's averages are those of another model or plan; they differ in {names}."
            )
        self.steps = int(state["steps"])
        for name, average in self.averages.items():
            average.copy_(state[name])


def _moving(model: Model, plan: Plan) -> dict[str, Tensor]:
    """The tensors of floating point that move in some phase, by `stage/name`: counters are left
    out."""
    moving: dict[str, Tensor] = {}
    for phase in plan.phases:
        for part, rule in plan.rules(phase).items():
            module = model.part(part)
            trainable = set(trainable_parameters(module, rule))
            for name, tensor in module.state_dict(keep_vars=True).items():
                moves = tensor in trainable if isinstance(tensor, nn.Parameter) else rule.statistics == "update"
                if moves and tensor.is_floating_point():
                    moving[f"{part}/{name}"] = tensor
    return moving
