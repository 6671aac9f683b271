"""The facts about one architecture of timm: its stages, the proof of their equality, the sizes of images that it takes."""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch
from torch import nn

from zoo_core import CLASSIFIER, Layout
from zoo_core.testing import image_sizes
from zoo_timm.cutting import find_slices
from zoo_timm.model import chain_of, network, settings_of
from zoo_timm.proof import same_operators
from zoo_timm.reading import UncutError

LEAST_STAGES = 4
LARGEST_STAGE = 0.9  # of the parameters: a stage above it leaves nothing to choose


def facts_of(name: str) -> dict[str, Any]:
    """The facts of an architecture. Raises UncutError with the reason where zoo does not provide it."""
    with torch.device("meta"):
        net = network(name).eval()
        cfg = settings_of(net)
        size = cfg["input_size"][1]
        if not hasattr(net, "forward_features"):
            raise UncutError("it has no forward_features")
        slices = find_slices(net, torch.empty(1, 3, size, size))
        chain = chain_of(net, slices).eval()
        image = torch.empty(1, 3, size, size)
        whole = chain if CLASSIFIER in chain.stages else None
        same, flops = same_operators(net if whole else _Features(net), chain, image)
        if not same:
            raise UncutError("its stages do not compute the same operators as the network")
        keys = [key for key, _ in chain.named_upstream()]
        if sorted(keys) != sorted(net.state_dict()):
            raise UncutError(f"its keys differ: {sorted(set(keys) ^ set(net.state_dict()))[:3] or 'one stands twice'}")
        base, _ = chain.split()
        counts = [sum(tensor.numel() for tensor in stage.parameters()) for _, stage in base.named_children()]
        if len(counts) < LEAST_STAGES:
            raise UncutError(f"it gives only {len(counts)} stages")
        if max(counts) > LARGEST_STAGE * sum(counts):
            raise UncutError(f"one of its stages holds {max(counts) / sum(counts):.0%} of the parameters")
        shape = slices.shapes[-1]
        prefix = _prefix(net, shape)
        facts = {
            "name": name,
            "family": type(net).__module__.rpartition(".")[2],
            "stages": list(base.stages),
            "shapes": [list(one) for one in slices.shapes],
            "channels": shape[0] if prefix is None else shape[1],
            "tokens": prefix,
            "class_token": bool(prefix) and getattr(net, "cls_token", None) is not None,
            "size": size,
            "params": sum(tensor.numel() for tensor in net.parameters()),
            "gmacs": round(flops / 2e9, 4),
            "classifier": cfg["classifier"] if not vars(net)["num_classes"] else None,
        }
        layout = Layout() if prefix is None else Layout("tokens", prefix, facts["class_token"])
        least = (settings_of(net).get("min_input_size") or (3, 1, 1))[1]
        sizes = image_sizes(base, layout, facts["channels"], size, least=least)
        return facts | {"stride": sizes.stride, "step": sizes.size_step, "min_size": sizes.min_size}


class _Features(nn.Module):
    """A network without its classifier."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
        return self.net.named_parameters(*args, **kwargs)

    def named_buffers(self, *args: Any, **kwargs: Any) -> Any:
        return self.net.named_buffers(*args, **kwargs)

    def forward(self, image: torch.Tensor) -> Any:
        return self.net.forward_features(image)  # type: ignore[operator]


def _prefix(net: nn.Module, shape: tuple[int, ...]) -> int | None:
    """The number of tokens before the patches; None for a feature map."""
    if len(shape) == 3 and shape[1] == shape[2]:
        return None
    if len(shape) == 2:
        for prefix in (getattr(net, "num_prefix_tokens", 0), 0, 1, 2):
            if isqrt(shape[0] - prefix) ** 2 == shape[0] - prefix > 0:
                return int(prefix)
    raise UncutError(f"its features have the shape {shape}, neither a square map nor tokens")
