"""The facts about VGG-11 to 19 as torchvision builds them."""

from __future__ import annotations

from zoo_core import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    BackboneSpec,
    HubFile,
    Paper,
    Preprocessing,
    TimmTwin,
    TorchFile,
    WeightsRef,
    hookimpl,
)

HOOK_API = 2

PREPROCESSING = Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)

PAPER = Paper(
    title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
    authors="Simonyan, Zisserman",
    venue="ICLR",
    year=2015,
    arxiv="1409.1556",
)

NOVELTY = "depth by small filters: stacks of 3x3 convolutions see as much as one large filter, with fewer parameters"


def _vgg(
    name: str,
    *,
    params: int,
    gmacs: float,
    top1: float,
    top5: float,
    smp: str,
    torch_hash: str,
    timm_revision: str | None = None,
    timm_sha256: str | None = None,
) -> BackboneSpec:
    timm = HubFile(
        repo=f"timm/{name}.tv_in1k", revision=timm_revision, sha256=timm_sha256, keys="zoo_vgg.keys:from_timm"
    )
    weights = WeightsRef(
        tag="imagenet-v1",
        sources=(
            *((timm,) if timm_revision else ()),
            HubFile(repo=f"smp-hub/{name}.imagenet", revision=smp),
            *(() if timm_revision else (timm,)),
            TorchFile(file=f"{name}-{torch_hash}.pth"),
        ),
        preprocessing=PREPROCESSING,
        data="ImageNet-1k",
        licence="BSD-3-Clause",
        classes="imagenet-1k",
        top1=top1,
        top5=top5,
        note="torchvision's IMAGENET1K_V1; the copy in smp-hub may lack the classifier",
    )
    return BackboneSpec(
        name=name,
        build="zoo_vgg.model:build",
        variant=name,
        stages=("block1", "block2", "block3", "block4", "block5"),
        channels=512,
        stride=32,
        min_size=32,
        year=2014,
        paper=PAPER,
        preprocessing=PREPROCESSING,
        params=params,
        gmacs=gmacs,
        weights=(weights,),
        timm=TimmTwin(architecture=name, export="zoo_vgg.keys:to_timm", size=224),
        novelty=NOVELTY if name == "vgg16" else "",
        note="with batch normalisation, which the paper's networks lack" if name.endswith("_bn") else "",
    )


EXPECTED_FAILURES = {
    "*: pins its weights": "zoo records the revision and the sha256 of these files when it first pulls them"
}


@hookimpl
def zoo_backbones() -> list[BackboneSpec]:
    return [
        _vgg(
            "vgg11",
            params=132_863_336,
            gmacs=7.609,
            top1=69.02,
            top5=88.628,
            smp="ad8b90e1051c38fdbf399cf5016886a1be357390",
            torch_hash="8a719046",
        ),
        _vgg(
            "vgg11_bn",
            params=132_868_840,
            gmacs=7.609,
            top1=70.37,
            top5=89.81,
            smp="59757f9215032c9f092977092d57d26a9df7fd9c",
            torch_hash="6002323d",
        ),
        _vgg(
            "vgg13",
            params=133_047_848,
            gmacs=11.308,
            top1=69.928,
            top5=89.246,
            smp="1b70ff2580f101a8007a48b51e2b5d1e5925dc42",
            torch_hash="19584684",
        ),
        _vgg(
            "vgg13_bn",
            params=133_053_736,
            gmacs=11.308,
            top1=71.586,
            top5=90.374,
            smp="9be454515193af6612261b7614fe90607e27b143",
            torch_hash="abd245e5",
        ),
        _vgg(
            "vgg16",
            params=138_357_544,
            gmacs=15.47,
            top1=71.592,
            top5=90.382,
            smp="49d74b799006ee252b86e25acd6f1fd8ac9a99c1",
            torch_hash="397923af",
            timm_revision="3394518cba29aee1ea82a49d971be90d2dd1dab7",
            timm_sha256="57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
        ),
        _vgg(
            "vgg16_bn",
            params=138_365_992,
            gmacs=15.47,
            top1=73.36,
            top5=91.516,
            smp="2c186d02fb519e93219a99a1c2af6295aef0bf0d",
            torch_hash="6c64b313",
            timm_revision="e00c01e7cee168262dcba6428dc4a8f41e27e965",
            timm_sha256="88bbedbc8e780413736db38ac4efd41b06fc0e93fd5b8879b584bba63a950129",
        ),
        _vgg(
            "vgg19",
            params=143_667_240,
            gmacs=19.63,
            top1=72.376,
            top5=90.876,
            smp="2853d00d7bca364dbb98be4d6afa347e5aeec1f6",
            torch_hash="dcbb9e9d",
            timm_sha256="11aea017b543ff59233749d8f1cf544cda749378f5790d2fedab841fb86b7669",
        ),
        _vgg(
            "vgg19_bn",
            params=143_678_248,
            gmacs=19.63,
            top1=74.218,
            top5=91.842,
            smp="f09a924cb0d201ea6f61601df9559141382271d7",
            torch_hash="c79401a0",
        ),
    ]
