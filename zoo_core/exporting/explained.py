"""The network of a format that also shows where an answer comes from, and how unlike the training
images an image is.

Shapes: B batch, C channels, H height and W width in pixels, or in cells of a map, F features, K
outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from zoo_core.devices.precision import full_precision
from zoo_core.explaining import METHODS
from zoo_core.explaining.maps import FORMULAS, StagedNetwork, staged
from zoo_core.exporting.network import OfPixels
from zoo_core.frozen.split import averaged, pooled_by
from zoo_core.model.assemble import Model
from zoo_core.predict import Predictor
from zoo_core.specs import HEAD
from zoo_core.tasks.objective import Objective

ANSWERS, FEATURES, MAP = "answers", "features", "map"
Mapped = Callable[[dict[str, Tensor], Tensor], tuple[Tensor, Tensor, Tensor]]
aten = torch.ops.aten


class Explained(nn.Module):
    """A run's network, with all that a page shows beside an answer.

    It maps images, or bytes, to a tuple of tensors, whose names are `outputs`. "answers" (B, K)
    are those of the exported network. From "features" (B, F) follows the distance to the training
    images, by `familiar`; where the run does not know it, both are left out. "map" (B, H, W) is the
    heat map of `zoo explain` for the first number, or the most probable class or label: Grad-CAM
    with its gradient written out as operations. It is left out where no stage has one.
    """

    def __init__(self, predictor: Predictor, example_BCHW: Tensor, *, with_preprocessing: bool) -> None:
        super().__init__()
        model, familiar = predictor.network, predictor.objective.fitted.familiar
        assert isinstance(model, Model)
        self.objective = (predictor.objective,)  # in a tuple: its head must not be counted twice
        self.familiar: dict[str, Any] | None = None if familiar is None else vars(familiar)
        """The arrays `means_GF`, `directions_DF` and `spreads_D`, and the numbers `rest` and
        `limit`, of the distance; None where the run does not know it."""
        self.front: nn.Module = model.backbone
        self.rest: nn.Module = _Rest((), model.head)
        self.mapped: nn.Module | None = None
        self._add_map(staged(model), example_BCHW)
        if with_preprocessing:
            self.front = OfPixels(self.front, predictor.preprocessing)

    @torch.no_grad()
    def _add_map(self, network: StagedNetwork, example_BCHW: Tensor) -> None:
        """Split the network behind the last stage that has a heat map of noise, if there is one."""
        generator = torch.Generator().manual_seed(0)
        noise_BCHW = torch.randn(example_BCHW.shape, generator=generator)
        stages = [network.stages[name] for name in network.places]
        for place in reversed(range(len(stages))):
            features = network.features_at(network.places[place], noise_BCHW)
            if network.has_cells(features[0]):
                rest = _Rest(stages[place + 1 :], network.stages[HEAD])
                computed = _with_map(rest, network, self.objective[0])
                if computed(_state(rest), features)[-1].any():
                    self.front, self.rest = nn.Sequential(*stages[: place + 1]), rest
                    self.mapped = _as_graph(computed, rest, features)
                    return

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        features, heat = () if self.familiar is None else (FEATURES,), () if self.mapped is None else (MAP,)
        return (ANSWERS, *features, *heat)

    def without_map(self) -> Explained:
        """This network without the map, for a format that lacks one of the gradient's operations."""
        self.mapped = None
        return self

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        features = self.front(images_BCHW)
        if self.mapped is None:
            outputs_BK, described_BF = self.rest(features)
            heat: list[Tensor] = []
        else:  # contiguous, as where it was traced: a view is one there too
            outputs_BK, described_BF, *heat = self.mapped(_state(self.rest), features.contiguous())
        answers_BK = self.objective[0].values(outputs_BK)
        return (answers_BK, *(() if self.familiar is None else (described_BF,)), *heat)


def explained_network(predictor: Predictor, example_BCHW: Tensor, *, with_preprocessing: bool) -> Explained:
    """The module for an exporter that explains."""
    predictor.network.requires_grad_(False)
    return Explained(predictor, example_BCHW, with_preprocessing=with_preprocessing).eval()


class _Rest(nn.Module):
    """The stages behind a place, and the head: features there to outputs (B, K), and the features
    (B, F) that describe an image."""

    def __init__(self, stages: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stages, self.head = nn.ModuleList(stages), head

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        for stage in self.stages:
            features = stage(features)
        return full_precision(self.head(features)), full_precision(averaged(pooled_by(self.head)(features)))


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _with_map(rest: nn.Module, network: StagedNetwork, objective: Objective) -> Mapped:
    """A function of the state of `rest` and the features before it to outputs, described features
    and heat maps."""

    def one_map(features: Tensor, gradients: Tensor) -> Tensor:
        return FORMULAS[METHODS[0]](network.cells(features), network.cells(gradients))

    def computed(state: dict[str, Tensor], features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.enable_grad():
            features = features.detach().clone().requires_grad_()
            outputs_BK, described_BF = functional_call(rest, state, (features.clone(),))  # a stage may begin in place
            chosen_BK = _explained(objective, outputs_BK.detach())
            (gradients,) = torch.autograd.grad((outputs_BK * chosen_BK).sum(), features)
        maps_BHW = torch.vmap(one_map)(features.detach(), gradients)
        return outputs_BK.detach(), described_BF.detach(), maps_BHW

    return computed


def _as_graph(computed: Mapped, rest: nn.Module, features: Tensor) -> nn.Module:
    """The operations of a function, gradients among them, as a graph for any number of images."""
    from torch._decomp import core_aten_decompositions
    from torch.fx.experimental.proxy_tensor import make_fx

    operations = {**core_aten_decompositions(), aten.convolution_backward.default: _convolution_backward}
    trace = make_fx(computed, decomposition_table=operations, tracing_mode="symbolic")
    graph: nn.Module = trace(_state(rest), features)
    return graph


def _explained(objective: Objective, outputs_BK: Tensor) -> Tensor:
    """1 for the output of each image that is explained, 0 for the others (B, K)."""
    places_K = torch.arange(outputs_BK.shape[1])
    if objective.task.answers_with_all:
        return (places_K == 0).expand_as(outputs_BK).to(outputs_BK.dtype)
    return (objective.values(outputs_BK).argmax(1, keepdim=True) == places_K).to(outputs_BK.dtype)


def _convolution_backward(
    gradients: Tensor,
    inputs: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    needed: Sequence[bool],
) -> tuple[Tensor | None, None, None]:
    """The gradient of a convolution by its inputs as a transposed convolution, which formats of
    networks know."""
    if transposed or needed[1] or needed[2]:
        raise NotImplementedError("the gradient of a transposed convolution, or by weights")
    places = range(len(stride))
    reach = [dilation[place] * (weight.shape[place + 2] - 1) + 1 for place in places]
    sizes = [(gradients.shape[place + 2] - 1) * stride[place] - 2 * padding[place] + reach[place] for place in places]
    missing = [inputs.shape[place + 2] - sizes[place] for place in places]
    given = aten.convolution(gradients, weight, None, stride, padding, dilation, True, missing, groups)
    return given, None, None
