"""The keys of cached features: digests of all that decides them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from zoo_core.data.decode import READER
from zoo_core.devices.cores import usable_cores
from zoo_core.frozen.code import code_digest, source_names
from zoo_core.frozen.split import VERSION, SplitPoint, fixed_beginning
from zoo_core.model.assemble import Model
from zoo_core.weights_specs import Preprocessing

KEY_LETTERS = 32  # of a sha256, which processors compute fastest: 128 bits
LARGE = 2**20  # bytes of a tensor that a thread of its own takes


@dataclass(frozen=True)
class FeatureKey:
    """The name of the features at a split point in the cache."""

    name: str
    old_name: Callable[[], str] = field(default=lambda: "", compare=False)
    """Gives their name in a cache of zoo 0.1.0, which takes long to find."""


def prefix_keys(
    model: Model, preprocessing: Preprocessing, identity: str, device: torch.device
) -> dict[SplitPoint, FeatureKey]:
    """A key for each split point, equal only where all that decides the features is.

    It covers the preprocessing, the `identity` (distribution, version and name of the backbone),
    the structure, weights and code (`code_digest`) of every stage up to the split point, the rules
    by which images are read, the type of device, and VERSION. A store is a folder of this name and
    the type of its numbers; in it an image has its content's digest, and the view, as its key
    (`FeatureCache.key`).
    """
    digest = hashlib.sha256(f"{VERSION} {preprocessing} {identity} {READER} {device.type}".encode())
    sources: set[str] = set()
    codes: dict[frozenset[str], str] = {}  # most stages come from the same files
    keys: dict[SplitPoint, FeatureKey] = {}
    pools = fixed_beginning(model.head)
    states = {name: model.backbone.stage(name).state_dict() for name in model.backbone.stages}
    old_names = cache(lambda: _old_names(model, preprocessing, identity))

    def add_key(split: SplitPoint, digest: hashlib._Hash, sources: Iterable[str]) -> None:
        files, whole = frozenset(sources), digest.copy()
        if files not in codes:
            codes[files] = code_digest(files)
        whole.update(codes[files].encode())
        keys[split] = FeatureKey(whole.hexdigest()[:KEY_LETTERS], lambda: old_names()[split])

    with ThreadPoolExecutor(usable_cores(), "zoo-keys") as threads:
        of_tensors = _digests([tensor for state in states.values() for tensor in state.values()], threads)
        for place, (name, state) in enumerate(states.items(), start=1):
            stage = model.backbone.stage(name)
            sources.update(source_names(stage))
            digest.update(str(stage).encode())
            for key, tensor in state.items():
                digest.update(_described(key, tensor) + next(of_tensors))
            add_key(SplitPoint(place), digest, sources)
            pooled = digest.copy()
            for module in pools:
                pooled.update(f"{type(module).__qualname__} {module}".encode())
            add_key(SplitPoint(place, pooled=True), pooled, sources.union(*map(source_names, pools)))
    return keys


def _old_names(model: Model, preprocessing: Preprocessing, identity: str) -> dict[SplitPoint, str]:
    """The names that zoo 0.1.0 gave: of all weights in a row, without their code."""
    digest = hashlib.sha256(f"1 {preprocessing} {identity}".encode())
    names: dict[SplitPoint, str] = {}
    for place, name in enumerate(model.backbone.stages, start=1):
        stage = model.backbone.stage(name)
        digest.update(str(stage).encode())
        for key, tensor in stage.state_dict().items():
            digest.update(_described(key, tensor))
            digest.update(_bytes(tensor))
        pooled = digest.copy()
        for module in fixed_beginning(model.head):
            pooled.update(f"{type(module).__qualname__} {module}".encode())
        names[SplitPoint(place)] = digest.hexdigest()[:KEY_LETTERS]
        names[SplitPoint(place, pooled=True)] = pooled.hexdigest()[:KEY_LETTERS]
    return names


def _digests(tensors: Sequence[Tensor], threads: ThreadPoolExecutor) -> Iterator[bytes]:
    """A sha256 of the numbers of each tensor; threads begin with those that take a while."""
    started = [threads.submit(_digest, tensor) if tensor.nbytes >= LARGE else None for tensor in tensors]
    return (one.result() if one else _digest(tensor) for one, tensor in zip(started, tensors, strict=True))


def _digest(tensor: Tensor) -> bytes:
    return hashlib.sha256(_bytes(tensor)).digest()


def _bytes(tensor: Tensor) -> memoryview:
    plain = tensor.detach().cpu().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().data


def _described(name: str, tensor: Tensor) -> bytes:
    return f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
