"""The facts about GoogLeNet and Inception v3 as torchvision builds them."""

from __future__ import annotations

from zoo_core import BackboneSpec, HubFile, Paper, Preprocessing, TorchFile, WeightsRef, hookimpl

HOOK_API = 2

HALF = (0.5, 0.5, 0.5)

FOLDED = "torchvision's IMAGENET1K_V1; its transform_input, which normalises a second time, is folded into mean and std"


def _googlenet() -> BackboneSpec:
    preprocessing = Preprocessing(size=224, mean=HALF, std=HALF)
    return BackboneSpec(
        name="googlenet",
        build="zoo_googlenet.model:googlenet",
        stages=(
            "stem",
            "inception3a",
            "inception3b",
            "inception4a",
            "inception4b",
            "inception4c",
            "inception4d",
            "inception4e",
            "inception5a",
            "inception5b",
        ),
        channels=1024,
        stride=32,
        min_size=32,
        year=2014,
        paper=Paper(
            title="Going Deeper with Convolutions",
            authors="Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich",
            venue="CVPR",
            year=2015,
            arxiv="1409.4842",
        ),
        preprocessing=preprocessing,
        params=6_624_904,
        gmacs=1.50,
        novelty="several filter sizes side by side (Inception), with 1x1 convolutions that make them cheap",
        weights=(
            WeightsRef(
                tag="imagenet-v1",
                sources=(TorchFile(file="googlenet-1378be20.pth"),),
                preprocessing=preprocessing,
                data="ImageNet-1k",
                licence="BSD-3-Clause",
                classes="imagenet-1k",
                top1=69.778,
                top5=89.53,
                note=FOLDED,
            ),
        ),
        ignored_keys=("aux1.", "aux2."),
        note="with batch normalisation, 3x3 in place of the paper's 5x5 convolutions, without the auxiliary classifiers",
    )


def _inception_v3() -> BackboneSpec:
    preprocessing = Preprocessing(size=299, mean=HALF, std=HALF)
    return BackboneSpec(
        name="inception_v3",
        build="zoo_googlenet.model:inception_v3",
        stages=(
            "stem",
            "mixed5b",
            "mixed5c",
            "mixed5d",
            "mixed6a",
            "mixed6b",
            "mixed6c",
            "mixed6d",
            "mixed6e",
            "mixed7a",
            "mixed7b",
            "mixed7c",
        ),
        channels=2048,
        stride=32,
        min_size=75,  # convolutions without padding leave 1x1 at the end
        year=2015,
        paper=Paper(
            title="Rethinking the Inception Architecture for Computer Vision",
            authors="Szegedy, Vanhoucke, Ioffe, Shlens, Wojna",
            venue="CVPR",
            year=2016,
            arxiv="1512.00567",
        ),
        preprocessing=preprocessing,
        params=23_834_568,
        gmacs=5.71,
        novelty="large filters factorised into small and one-sided ones (3x3, 1x7 and 7x1), and label smoothing",
        weights=(
            WeightsRef(
                tag="imagenet-v1",
                sources=(
                    HubFile(repo="timm/inception_v3.tv_in1k"),
                    TorchFile(file="inception_v3_google-0cc3c7bd.pth"),
                ),
                preprocessing=preprocessing,
                data="ImageNet-1k",
                licence="BSD-3-Clause",
                classes="imagenet-1k",
                top1=77.294,
                top5=93.45,
                note=FOLDED,
            ),
        ),
        ignored_keys=("AuxLogits.",),
        note="without the auxiliary classifier",
    )


EXPECTED_FAILURES = {
    "inception_v3: pins its weights": "zoo records the revision and the sha256 of timm's file when it first pulls it"
}


@hookimpl
def zoo_backbones() -> list[BackboneSpec]:
    return [_googlenet(), _inception_v3()]
