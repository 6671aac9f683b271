"""Writes the index that the plugin carries: the facts about torchvision's networks that no other plugin provides.

python scripts/make_index.py

Stages, shapes, sizes and costs are found on the meta device, the facts about weights are torchvision's own.
"""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models
from zoo_torchvision.model import build

from zoo_core import BackboneSpec, Layout, NoOptions, open_catalog
from zoo_core.testing import image_sizes, stage_shapes

INDEX = Path(__file__).parents[1] / "src/zoo_torchvision/index.json"
FAMILIES = {
    "efficientnet_v2": "efficientnet_v2",
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3": "mobilenet_v3",
    "shufflenet_v2": "shufflenet_v2",
    "swin_v2": "swin_transformer_v2",
    "wide_resnet": "wide_resnet",
    "swin": "swin_transformer",
    "vit": "vision_transformer",
} | {
    name: name
    for name in ("convnext", "densenet", "efficientnet", "maxvit", "mnasnet", "regnet", "resnext", "squeezenet")
}
"""The families by the beginnings of torchvision's names. Where timm has a family of the same paper, its name."""

LICENCES = {
    "_swag-": "CC-BY-NC-4.0",
    "rwightman": "Apache-2.0",
    "lukemelas": "Apache-2.0",
    "efficientnet_v2_l": "Apache-2.0",
}
"""The licences of weights that torchvision took over from SWAG, timm, EfficientNet-PyTorch and Google, by parts of
their files' names. The others are torchvision's."""


def networks() -> list[str]:
    """torchvision's networks for classification that no other plugin provides."""
    entries = open_catalog().entries(BackboneSpec)
    known = {entry.spec.name for entry in entries if entry.distribution != "zoo-torchvision"}
    return [name for name in models.list_models(module=models) if name not in known]


def entries_of(name: str) -> list[dict[str, Any]]:
    """The entries of a network: one for each size of images that its weights need."""
    weights: dict[str, list[Any]] = {"": []}
    for one in models.get_model_weights(name):
        # Position embeddings have a size: the same network for other images is one of its own.
        size = one.transforms().crop_size[0]
        weights.setdefault(f":{size}" if name.startswith("vit") and size != 224 else "", []).append(one)
    return [entry_of(name + suffix, found) for suffix, found in weights.items()]


def entry_of(variant: str, weights: list[Any]) -> dict[str, Any]:
    name, family = variant.replace(":", "_"), next(FAMILIES[start] for start in FAMILIES if variant.startswith(start))
    prefix = 1 if family == "vision_transformer" else None
    size, preprocessing = weights[0].transforms().crop_size[0], preprocessing_of(weights[0])
    with torch.device("meta"):
        chain = build(NoOptions(), variant=variant).eval()
    base, _ = chain.split()
    layout = Layout() if prefix is None else Layout("tokens", prefix)
    *_, shape = stage_shapes(base, 3, size).values()
    sizes = image_sizes(base, layout, layout.channels(shape), size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        chain(torch.empty(1, 3, size, size, device="meta"))
    return {
        "name": name,
        "family": family,
        "variant": variant,
        "stages": base.stages,
        "channels": layout.channels(shape),
        "tokens": prefix,
        "stride": sizes.stride,
        "step": sizes.size_step,
        "min_size": sizes.min_size,
        "params": sum(tensor.numel() for tensor in chain.parameters()),
        "gmacs": round(counter.get_total_flops() / 2e9, 4),
        "preprocessing": preprocessing,
        "weights": [weights_of(one) for one in weights],
    }


def preprocessing_of(weights: Any) -> list[Any]:
    """Size, crop, interpolation, mean, standard deviation."""
    way = weights.transforms()
    size, resized = way.crop_size[0], way.resize_size[0]
    crop = round(size / resized, 4)
    assert round(size / crop) == resized, (weights, crop)
    return [size, crop, way.interpolation.value, way.mean, way.std]


def weights_of(weights: Any) -> list[Any]:
    """torchvision's name, file, preprocessing, licence, top-1 and top-5."""
    file, figures = weights.url.rpartition("/")[2], weights.meta["_metrics"]["ImageNet-1K"]
    licence = next((LICENCES[part] for part in LICENCES if part in file), "BSD-3-Clause")
    assert ("license" in weights.meta) == ("_swag-" in file), f"{weights} has a licence of its own"
    return [weights.name, file, preprocessing_of(weights), licence, figures["acc@1"], figures["acc@5"]]


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable()
    entries = [entry for name in networks() for entry in entries_of(name)]
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in entries)
    head = json.dumps({"torchvision": torchvision.__version__.partition("+")[0]})[:-1]
    INDEX.write_text(f'{head}, "backbones": [\n{lines}\n]}}\n', encoding="utf-8")
    print(
        f"{len(entries)} backbones of {len(networks())} networks, {sum(len(one['weights']) for one in entries)} weights"
    )


if __name__ == "__main__":
    main()
