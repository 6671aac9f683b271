"""Weights into a network: names and shapes are compared first, then memory-mapped tensors take their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo_core.errors import WeightsError
from zoo_core.model.chain import Chain

M = TypeVar("M", bound=nn.Module)

_INITIALISERS = {
    *(getattr(nn.init, name) for name in dir(nn.init) if name[0] != "_" and name.endswith("_")),
    *(getattr(Tensor, name) for name in ("uniform_", "normal_", "fill_", "zero_")),
}


class _SkipInitialisers(TorchFunctionMode):
    """On the meta device an initialiser has no effect but takes time, some bring torch's compiler: leave it out."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _INITIALISERS:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


@contextmanager
def without_storage() -> Iterator[None]:
    """Build modules that have shapes and no numbers; whoever builds here fills every tensor afterwards."""
    with torch.device("meta"), _SkipInitialisers():
        yield


def build_empty(build: Callable[[], M]) -> M:
    """Build a module without storage, unless it holds something that no weights file could fill."""
    with without_storage():
        module = build()
    saved = {name for name, _ in module.state_dict(keep_vars=True).items()}
    unsaved = [name for name, _ in module.named_buffers() if name not in saved]
    return build() if unsaved else module


def to_module_keys(chain: Chain, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate tensors under published keys to the chain's own names, for load_state_dict."""
    upstream = {chain.upstream_name(name): name for name in chain.state_dict(keep_vars=True)}
    return {upstream[key]: tensor for key, tensor in tensors.items() if key in upstream}


def assign(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors in the places of a module's own, without copying. Names and shapes must have been compared."""
    state = module.state_dict(keep_vars=True)
    ready = {}
    for name, ours in state.items():
        tensor = tensors[name] if name in tensors else torch.zeros((), dtype=ours.dtype)
        ready[name] = tensor.to(ours.dtype)
    module.load_state_dict(ready, strict=True, assign=True)


def check_keys_and_shapes(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, what: str) -> None:
    """Raise WeightsError that lists every missing, unexpected and differently shaped tensor.

    The step counters of batch normalisation may be missing: nothing that is computed depends on them.
    """
    missing = [key for key in expected if key not in found and not key.endswith("num_batches_tracked")]
    extra = [key for key in found if key not in expected]
    shapes = [
        f"{key} is {tuple(found[key].shape)} and should be {tuple(expected[key].shape)}"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    if missing or extra or shapes:
        lines = [f"missing: {_some(missing)}"] if missing else []
        lines += [f"not expected: {_some(extra)}"] if extra else []
        lines += [f"other shape: {_some(shapes)}"] if shapes else []
        raise WeightsError(f"{what} does not fit this network.\n  " + "\n  ".join(lines))


def _some(names: list[str], limit: int = 12) -> str:
    rest = f" ... and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


def load_chain(
    chain: Chain, tensors: Mapping[str, Tensor], *, path: Path, ignored: tuple[str, ...], classifier: Chain | None
) -> tuple[str, ...]:
    """Fill a chain with published tensors.

    `ignored` are prefixes of keys that the spec says the chain does not have, `classifier` the classifier that a head
    replaces. Returns the keys that were dropped. Raises WeightsError when anything else differs.
    """
    dropped_keys = {key for key, _ in classifier.named_upstream()} if classifier else set()
    dropped = tuple(key for key in tensors if key in dropped_keys or (ignored and key.startswith(ignored)))
    kept = {key: tensor for key, tensor in tensors.items() if key not in dropped}
    check_keys_and_shapes(dict(chain.named_upstream()), kept, what=str(path))
    assign(chain, to_module_keys(chain, kept))
    return dropped
