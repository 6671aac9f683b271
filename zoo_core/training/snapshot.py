"""Named copies of a training's tensors: weights, optimizer moments, random states, and the state
before a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from zoo_core.devices.kinds import kind_of
from zoo_core.freezing.plan import Plan
from zoo_core.model.assemble import Model


def trained_parts(plan: Plan) -> list[str]:
    """The stages, and the head, that some phase of a plan trains."""
    return sorted({part for phase in plan.phases for part in plan.trainable(phase)})


def trained_state(model: Model, plan: Plan) -> dict[str, Tensor]:
    """Copies, by `part/name`, of the parameters and statistics of every part that the plan
    trains."""
    return {
        f"{part}/{name}": tensor.detach().clone()
        for part in trained_parts(plan)
        for name, tensor in model.part(part).state_dict().items()
    }


@torch.no_grad()
def load_trained(model: Model, state: Mapping[str, Tensor]) -> None:
    """Load the copies that `trained_state` made; the model's tensors stay the same objects."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state.items():
        part, _, name = key.partition("/")
        if part not in parts:
            parts[part] = model.part(part).state_dict(keep_vars=True)
        parts[part][name].copy_(tensor)


def optimizer_state(model: Model, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Copies of an optimizer's state of each parameter, by `part/parameter/key`."""
    return {
        f"{name}/{key}": torch.as_tensor(value).detach().clone()
        for name, parameter in named_parameters(model)
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def load_optimizer(model: Model, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor]) -> None:
    """Load the copies that `optimizer_state` made, for the parameters that this optimizer
    trains."""
    trained = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    by_name: dict[str, dict[str, Tensor]] = {}
    for path, tensor in state.items():
        name, _, key = path.rpartition("/")
        by_name.setdefault(name, {})[key] = tensor
    for name, parameter in named_parameters(model):
        if parameter in trained and name in by_name:
            own = optimizer.state[parameter]
            for key, tensor in by_name[name].items():
                # A moment takes the parameter's memory format; anything else is a count, which a
                # GPU reads from its memory.
                moment = tensor.shape == parameter.shape
                own[key] = torch.empty_like(parameter).copy_(tensor) if moment else tensor.to(parameter.device)


def named_parameters(model: Model) -> Iterator[tuple[str, nn.Parameter]]:
    """All parameters of a model by `part/name`."""
    for part in (*model.backbone.stages, "head"):
        for name, parameter in model.part(part).named_parameters():
            yield f"{part}/{name}", parameter


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of the generators that dropout on a device draws from. No other device is asked:
    that would start it."""
    kind = kind_of(device)
    own = kind.random_state()
    return {"cpu": torch.get_rng_state()} | ({} if own is None else {kind.name: own})


def load_random(state: Mapping[str, Tensor], device: torch.device) -> None:
    """Set the generators to a state that `random_state` gave, maybe for a device of another
    kind."""
    torch.set_rng_state(state["cpu"])
    kind = kind_of(device)
    if kind.is_accelerator and kind.name in state:
        kind.load_random(state[kind.name])


def before_forward(module: nn.Module, device: torch.device) -> Callable[[], None]:
    """A function that undoes a forward pass in training mode on a device: it restores statistics
    and random states as they are now."""
    drawn = random_state(device)
    buffers = [buffer for part in module.modules() if part.training for buffer in part.buffers(recurse=False)]
    copies = [buffer.clone() for buffer in buffers]

    def undo() -> None:
        load_random(drawn, device)
        for buffer, copy in zip(buffers, copies, strict=True):
            buffer.copy_(copy)

    return undo


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under `prefix/name`."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that `prefixed` put under a prefix, by their own names."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")}
