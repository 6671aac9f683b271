"""Loads weights into a network: checks keys and shapes, then replaces the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo_core.errors import PluginError, WeightsError
from zoo_core.model.chain import Chain
from zoo_core.model.lean_torch import LEAN, ShapeInference
from zoo_core.model.shapes import loose_tensors

M = TypeVar("M", bound=nn.Module)

_INITIALISERS = {
    *(getattr(nn.init, name) for name in dir(nn.init) if name[0] != "_" and name.endswith("_")),
    *(getattr(Tensor, name) for name in ("uniform_", "normal_", "fill_", "zero_")),
}
_IN_PLACE = {getattr(Tensor, name) for name in ("add_", "clamp_", "div_", "erfinv_", "mul_", "sub_")}
"""Of these builders make their own initialisers, such as a truncated normal distribution."""


class _SkipInitialisers(TorchFunctionMode):
    """Skips initialisers: on the meta device they only take time, and some import the compiler."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _INITIALISERS or (LEAN and func in _IN_PLACE and args[0].is_meta):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def without_storage() -> Iterator[None]:
    """Build modules on the meta device, with shapes and without numbers.

    The caller fills every tensor afterwards.
    """
    with torch.device("meta"), ShapeInference(), _SkipInitialisers():
        yield


def build_empty(build: Callable[[], M]) -> M:
    """Build a module without storage, unless it has numbers that no weights file fills.

    A builder that fails on the meta device, because it reads numbers, builds on the current one.
    """
    try:
        with without_storage():
            module = build()
    except PluginError:
        return build()
    saved = {name for name, _ in module.state_dict(keep_vars=True).items()}
    unsaved = any(name not in saved for name, _ in module.named_buffers(remove_duplicate=False)) or loose_tensors(
        module
    )
    return build() if unsaved else module


def build_shapes(build: Callable[[], M]) -> M:
    """Build a module on the meta device, for its structure and shapes alone."""
    try:
        with without_storage():
            return build()
    except PluginError:
        return build().to("meta")


def to_module_keys(chain: Chain, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate published keys to the chain's own names, for load_state_dict.

    Other keys are left out.
    """
    upstream = {chain.upstream_name(name): name for name in chain.state_dict(keep_vars=True)}
    return {upstream[key]: tensor for key, tensor in tensors.items() if key in upstream}


def assign(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Replace a module's parameters and buffers by tensors, without a copy.

    The caller has checked keys and shapes (`check_keys_and_shapes`). Step counters of batch
    normalisation that are missing become 0.
    """
    state = module.state_dict(keep_vars=True)
    ready = {}
    for name, ours in state.items():
        tensor = tensors[name] if name in tensors else torch.zeros((), dtype=ours.dtype)
        ready[name] = tensor.to(ours.dtype)
    module.load_state_dict(ready, strict=True, assign=True)


def check_keys_and_shapes(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, subject: str) -> None:
    """Raise WeightsError that lists `subject`'s missing, unexpected and misshapen tensors.

    The step counters of batch normalisation may be missing: no output depends on them.
    """
    missing = [key for key in expected if key not in found and not key.endswith("num_batches_tracked")]
    extra = [key for key in found if key not in expected]
    shapes = [
        f"{key} is {tuple(found[key].shape)} and should be {tuple(expected[key].shape)}"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    types = [
        f"{key} is {str(found[key].dtype).removeprefix('torch.')}, which is no floating-point type"
        for key in expected
        if key in found and expected[key].is_floating_point() and not found[key].is_floating_point()
    ]
    if missing or extra or shapes or types:
        lines = [f"missing: {_some(missing)}"] if missing else []
        lines += [f"not expected: {_some(extra)}"] if extra else []
        lines += [f"other shape: {_some(shapes)}"] if shapes else []
        lines += [f"other type: {_some(types)}"] if types else []
        raise WeightsError(f"{subject} does not fit this network.\n  " + "\n  ".join(lines))


def _some(names: list[str], limit: int = 12) -> str:
    rest = f" ... and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


def check_finite(tensors: Iterable[tuple[str, Tensor]], path: Path) -> None:
    """Raise WeightsError that names the first tensor with a number that is not finite, or of a type that torch cannot
    convert."""
    for name, tensor in tensors:
        if tensor.dtype.is_floating_point and tensor.element_size() == 1:  # torch adds up no numbers of 8 bits
            try:
                tensor = tensor.float()
            except RuntimeError as error:
                raise WeightsError(f"{path} holds {name} as {tensor.dtype}. Save it as float32.") from error
        # A finite sum proves it several times faster than a look at each number.
        if not (tensor.sum().isfinite() or tensor.isfinite().all()):
            raise WeightsError(f"{path} holds numbers in {name} that are not finite. Fetch or make it again.")


def load_chain(
    chain: Chain, tensors: Mapping[str, Tensor], *, path: Path, ignored: tuple[str, ...], classifier: Chain | None
) -> tuple[str, ...]:
    """Fill a chain with published tensors; return the keys that were dropped.

    Keys with a prefix in `ignored` and the keys of `classifier`, which a head replaces, are
    dropped. Raises WeightsError when any other key or shape differs.
    """
    dropped_keys = {key for key, _ in classifier.named_upstream()} if classifier else set()
    dropped = tuple(key for key in tensors if key in dropped_keys or (ignored and key.startswith(ignored)))
    kept = {key: tensor for key, tensor in tensors.items() if key not in dropped}
    check_keys_and_shapes(dict(chain.named_upstream()), kept, subject=str(path))
    assign(chain, to_module_keys(chain, kept))
    return dropped
