"""The facts about torchvision's networks, from an index that `scripts/make_index.py` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zoo_core import BackboneSpec, Layout, Paper, Preprocessing, TimmTwin, TorchFile, WeightsRef, hookimpl

HOOK_API = 2

INDEX = Path(__file__).with_name("index.json")
SWAG = "SWAG"
"""A part of torchvision's names of weights that were first trained on images of Instagram (arXiv 2201.08371)."""

KEYS = {
    "densenet": "zoo_torchvision.keys:densenet",
    "vision_transformer": "zoo_torchvision.keys:vision_transformer",
}
"""The families whose files have keys of an older torchvision."""

TWINS = {"densenet": "classifier", "resnext": "fc", "wide_resnet": "fc"}
"""The families that timm has with the same keys, and its name of their classifier."""

PAPERS = {
    "convnext": Paper(
        title="A ConvNet for the 2020s",
        authors="Liu, Mao, Wu, Feichtenhofer, Darrell, Xie",
        venue="CVPR",
        year=2022,
        arxiv="2201.03545",
    ),
    "densenet": Paper(
        title="Densely Connected Convolutional Networks",
        authors="Huang, Liu, van der Maaten, Weinberger",
        venue="CVPR",
        year=2017,
        arxiv="1608.06993",
    ),
    "efficientnet": Paper(
        title="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        authors="Tan, Le",
        venue="ICML",
        year=2019,
        arxiv="1905.11946",
    ),
    "efficientnet_v2": Paper(
        title="EfficientNetV2: Smaller Models and Faster Training",
        authors="Tan, Le",
        venue="ICML",
        year=2021,
        arxiv="2104.00298",
    ),
    "maxvit": Paper(
        title="MaxViT: Multi-Axis Vision Transformer",
        authors="Tu, Talebi, Zhang, Yang, Milanfar, Bovik, Li",
        venue="ECCV",
        year=2022,
        arxiv="2204.01697",
    ),
    "mnasnet": Paper(
        title="MnasNet: Platform-Aware Neural Architecture Search for Mobile",
        authors="Tan, Chen, Pang, Vasudevan, Sandler, Howard, Le",
        venue="CVPR",
        year=2019,
        arxiv="1807.11626",
    ),
    "mobilenet_v2": Paper(
        title="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        authors="Sandler, Howard, Zhu, Zhmoginov, Chen",
        venue="CVPR",
        year=2018,
        arxiv="1801.04381",
    ),
    "mobilenet_v3": Paper(
        title="Searching for MobileNetV3",
        authors="Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam",
        venue="ICCV",
        year=2019,
        arxiv="1905.02244",
    ),
    "regnet": Paper(
        title="Designing Network Design Spaces",
        authors="Radosavovic, Kosaraju, Girshick, He, Dollár",
        venue="CVPR",
        year=2020,
        arxiv="2003.13678",
    ),
    "resnext": Paper(
        title="Aggregated Residual Transformations for Deep Neural Networks",
        authors="Xie, Girshick, Dollár, Tu, He",
        venue="CVPR",
        year=2017,
        arxiv="1611.05431",
    ),
    "shufflenet_v2": Paper(
        title="ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design",
        authors="Ma, Zhang, Zheng, Sun",
        venue="ECCV",
        year=2018,
        arxiv="1807.11164",
    ),
    "squeezenet": Paper(
        title="SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
        authors="Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer",
        venue="arXiv",
        year=2016,
        arxiv="1602.07360",
    ),
    "swin_transformer": Paper(
        title="Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
        authors="Liu, Lin, Cao, Hu, Wei, Zhang, Lin, Guo",
        venue="ICCV",
        year=2021,
        arxiv="2103.14030",
    ),
    "swin_transformer_v2": Paper(
        title="Swin Transformer V2: Scaling Up Capacity and Resolution",
        authors="Liu, Hu, Lin, Yao, Xie, Wei, Ning, Cao, Zhang, Dong, Wei, Guo",
        venue="CVPR",
        year=2022,
        arxiv="2111.09883",
    ),
    "vision_transformer": Paper(
        title="An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
        authors="Dosovitskiy, Beyer, Kolesnikov, Weissenborn and others",
        venue="ICLR",
        year=2021,
        arxiv="2010.11929",
    ),
    "wide_resnet": Paper(
        title="Wide Residual Networks",
        authors="Zagoruyko, Komodakis",
        venue="BMVC",
        year=2016,
        arxiv="1605.07146",
    ),
}

NOVELTIES = {
    "convnext_tiny": "a convolutional network with the choices of transformers: patches, large kernels, LayerNorm",
    "densenet121": "each layer sees the outputs of all earlier ones of its block",
    "efficientnet_b0": "depth, width and image size scaled together by one factor, from a base that a search found",
    "efficientnet_v2_s": "blocks and image sizes chosen for the speed of training",
    "mnasnet1_0": "an architecture found by a search that measures its time on a phone",
    "mobilenet_v2": "narrow inputs and outputs around wide depthwise convolutions (inverted residuals)",
    "mobilenet_v3_large": "MobileNet's blocks chosen by a search for phones, with squeeze-and-excitation and hard swish",
    "regnet_y_400mf": "a design space instead of one design: widths of blocks on a straight line",
    "resnext50_32x4d": "grouped convolutions: many paths of one shape in a residual block",
    "shufflenet_v2_x1_0": "channels split and shuffled, by rules for speed that was measured rather than operations counted",
    "squeezenet1_0": "AlexNet's accuracy with 50 times fewer parameters, by squeezing 1x1 convolutions",
    "swin_t": "attention inside windows that shift from layer to layer, in a pyramid of maps",
    "vit_b_16": "no convolutions: patches of 16x16 pixels are the tokens of a plain transformer",
    "wide_resnet50_2": "residual blocks that are wider rather than more",
}
"""The new idea of each family, at its best known or smallest network."""


@hookimpl
def zoo_backbones() -> list[BackboneSpec]:
    return [_spec(entry) for entry in json.loads(INDEX.read_text(encoding="utf-8"))["backbones"]]


def _spec(entry: dict[str, Any]) -> BackboneSpec:
    family, tokens = entry["family"], entry["tokens"]
    paper = PAPERS[family]
    return BackboneSpec(
        name=entry["name"],
        family=family,
        build="zoo_torchvision.model:build",
        reference="zoo_torchvision.model:published",
        variant=entry["variant"],
        stages=tuple(entry["stages"]),
        channels=entry["channels"],
        stride=entry["stride"],
        min_size=entry["min_size"],
        size_step=entry["step"],
        features=Layout() if tokens is None else Layout("tokens", prefix=tokens),
        year=2000 + int(str(paper.arxiv)[:2]),
        paper=paper,
        preprocessing=_preprocessing(*entry["preprocessing"]),
        params=entry["params"],
        gmacs=entry["gmacs"],
        weights=tuple(_weights(*facts, keys=KEYS.get(family)) for facts in entry["weights"]),
        novelty=NOVELTIES.get(entry["name"], ""),
        timm=TimmTwin(architecture=entry["name"], classifier=TWINS[family]) if family in TWINS else None,
    )


def _preprocessing(size: int, crop: float, interpolation: Any, mean: list[float], std: list[float]) -> Preprocessing:
    return Preprocessing(size=size, crop=crop, interpolation=interpolation, mean=tuple(mean), std=tuple(std))


def _weights(
    name: str, file: str, preprocessing: list[Any], licence: str, top1: float, top5: float, *, keys: str | None
) -> WeightsRef:
    return WeightsRef(
        tag=name.lower().replace("imagenet1k", "imagenet").replace("_", "-"),
        sources=(TorchFile(file=file, keys=keys),),
        preprocessing=_preprocessing(*preprocessing),
        data="ImageNet-1k" if SWAG not in name else "Instagram, then ImageNet-1k",
        licence=licence,
        classes="imagenet-1k",
        top1=top1,
        top5=top5,
        note=f"torchvision's {name}",
    )
