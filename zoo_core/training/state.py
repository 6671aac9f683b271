"""A training's tensors under names, for checkpoints and for the best epoch: weights, optimizer, random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from zoo_core.freezing.plan import Plan
from zoo_core.model.assemble import Model


def trained_parts(plan: Plan) -> list[str]:
    """The stages (and the head) that learn in some phase of a plan."""
    return sorted({part for phase in plan.phases for part in plan.trainable(phase)})


def trained_state(model: Model, plan: Plan) -> dict[str, Tensor]:
    """A copy of all that the training may have moved: parameters and statistics of every part that learns."""
    return {
        f"{part}/{name}": tensor.detach().clone()
        for part in trained_parts(plan)
        for name, tensor in model.part(part).state_dict().items()
    }


@torch.no_grad()
def load_trained(model: Model, state: Mapping[str, Tensor]) -> None:
    """Put back what `trained_state` gave."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        part, _, name = key.partition("/")
        if part not in parts:
            parts[part] = model.part(part).state_dict(keep_vars=True)
        parts[part][name].copy_(tensor)


def optimizer_state(model: Model, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimizer remembers of each parameter, as tensors `row/parameter/what`."""
    return {
        f"{name}/{what}": torch.as_tensor(value).detach().clone()
        for name, parameter in _named(model)
        for what, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def load_optimizer(model: Model, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_state` gave, for the parameters that the optimizer moves."""
    to_device = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    by_name: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        name, _, what = key.rpartition("/")
        by_name.setdefault(name, {})[what] = tensor
    for name, parameter in _named(model):
        if parameter in to_device and name in by_name:
            own = optimizer.state[parameter]
            for what, tensor in by_name[name].items():
                alike = tensor.shape == parameter.shape  # else it is a count, which a GPU reads in its own memory too
                own[what] = torch.empty_like(parameter).copy_(tensor) if alike else tensor.to(parameter.device)


def _named(model: Model) -> Iterator[tuple[str, nn.Parameter]]:
    for part in (*model.backbone.stages, "head"):
        for name, parameter in model.part(part).named_parameters():
            yield f"{part}/{name}", parameter


def random_state() -> dict[str, Tensor]:
    """The state of the generators that dropout draws from."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def load_random(state: Mapping[str, Tensor]) -> None:
    """Put back what `random_state` gave."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def before_forward(module: nn.Module) -> Callable[[], None]:
    """Remember what a forward pass moves, statistics and random numbers. Returns what puts them back."""
    drawn = random_state()
    buffers = [buffer for part in module.modules() if part.training for buffer in part.buffers(recurse=False)]
    copies = [buffer.clone() for buffer in buffers]

    def put_back() -> None:
        load_random(drawn)
        for buffer, copy in zip(buffers, copies, strict=True):
            buffer.copy_(copy)

    return put_back


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under `prefix/name`."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that `prefixed` put under a prefix."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")}
