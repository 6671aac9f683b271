"""The facts about ResNet-18 to 152 as torchvision builds them."""

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

EXPECTED_FAILURES = {
    "*: pins its weights": "zoo records the revision and the sha256 of these files when it first pulls them"
}

PREPROCESSING = Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)

PAPER = Paper(
    title="Deep Residual Learning for Image Recognition",
    authors="He, Zhang, Ren, Sun",
    venue="CVPR",
    year=2016,
    arxiv="1512.03385",
)

NOVELTY = (
    "shortcuts around blocks of layers, which learn a residual: networks of more than a hundred layers can be trained"
)


def _resnet(depth: int, *, channels: int, params: int, gmacs: float, weights: tuple[WeightsRef, ...]) -> BackboneSpec:
    return BackboneSpec(
        name=f"resnet{depth}",
        build="zoo_resnet.model:build",
        reference="zoo_resnet.model:published",
        variant=f"resnet{depth}",
        stages=("stem", "layer1", "layer2", "layer3", "layer4"),
        channels=channels,
        stride=32,
        min_size=32,
        year=2015,
        paper=PAPER,
        preprocessing=PREPROCESSING,
        params=params,
        gmacs=gmacs,
        weights=weights,
        timm=TimmTwin(architecture=f"resnet{depth}"),
        novelty=NOVELTY if depth == 50 else "",
        note=""
        if depth < 50
        else "the 3x3 convolution of a block carries the stride ('v1.5'), in the paper the first 1x1",
    )


def _v1(depth: int, *, timm: HubFile | None = None, smp: str, torch_hash: str, top1: float, top5: float) -> WeightsRef:
    return WeightsRef(
        tag="imagenet-v1",
        sources=(
            *((timm,) if timm else ()),
            HubFile(repo=f"smp-hub/resnet{depth}.imagenet", revision=smp),
            *(() if timm else (HubFile(repo=f"timm/resnet{depth}.tv_in1k"),)),
            TorchFile(file=f"resnet{depth}-{torch_hash}.pth"),
        ),
        preprocessing=PREPROCESSING,
        data="ImageNet-1k",
        licence="BSD-3-Clause",
        classes="imagenet-1k",
        top1=top1,
        top5=top5,
        note="torchvision's IMAGENET1K_V1; the copy in smp-hub may lack the classifier",
    )


def _v2(depth: int, *, torch_hash: str, top1: float, top5: float) -> WeightsRef:
    return WeightsRef(
        tag="imagenet-v2",
        sources=(HubFile(repo=f"timm/resnet{depth}.tv2_in1k"), TorchFile(file=f"resnet{depth}-{torch_hash}.pth")),
        preprocessing=Preprocessing(size=224, crop=0.965, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        data="ImageNet-1k",
        licence="BSD-3-Clause",
        classes="imagenet-1k",
        top1=top1,
        top5=top5,
        note="torchvision's IMAGENET1K_V2, trained at 176 pixels",
    )


def _a1(depth: int, *, revision: str | None = None) -> WeightsRef:
    return WeightsRef(
        tag="a1",
        sources=(HubFile(repo=f"timm/resnet{depth}.a1_in1k", revision=revision),),
        preprocessing=Preprocessing(size=224, crop=0.95, interpolation="bicubic", mean=IMAGENET_MEAN, std=IMAGENET_STD),
        data="ImageNet-1k",
        licence="Apache-2.0",
        classes="imagenet-1k",
        note="timm's recipe A1 (arXiv 2110.00476), which is tested on whole images of 288 pixels",
    )


@hookimpl
def zoo_backbones() -> list[BackboneSpec]:
    return [
        _resnet(
            18,
            channels=512,
            params=11_689_512,
            gmacs=1.814,
            weights=(
                _v1(
                    18,
                    smp="3f2325ff978283d47aa6a1d6878ca20565622683",
                    torch_hash="f37072fd",
                    top1=69.758,
                    top5=89.078,
                ),
                _a1(18),
            ),
        ),
        _resnet(
            34,
            channels=512,
            params=21_797_672,
            gmacs=3.664,
            weights=(
                _v1(
                    34,
                    smp="7a57b34f723329ff020b3f8bc41771163c519d0c",
                    torch_hash="b627a593",
                    top1=73.314,
                    top5=91.42,
                ),
                _a1(34),
            ),
        ),
        _resnet(
            50,
            channels=2048,
            params=25_557_032,
            gmacs=4.09,
            weights=(
                _v1(
                    50,
                    timm=HubFile(
                        repo="timm/resnet50.tv_in1k",
                        revision="aa6c2d36d56bc0209040c02b5a7b7d7bf11d57b8",
                        sha256="5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
                    ),
                    smp="00cb74e366966d59cd9a35af57e618af9f88efe9",
                    torch_hash="0676ba61",
                    top1=76.13,
                    top5=92.862,
                ),
                _v2(50, torch_hash="11ad3fa6", top1=80.858, top5=95.434),
                _a1(50, revision="93271f4677dbf7b4d7f7e7d9d7811bd66c327e56"),
            ),
        ),
        _resnet(
            101,
            channels=2048,
            params=44_549_160,
            gmacs=7.801,
            weights=(
                _v1(
                    101,
                    smp="cd7c15e8c51da86ae6a084515fdb962d0c94e7d1",
                    torch_hash="63fe2227",
                    top1=77.374,
                    top5=93.546,
                ),
                _v2(101, torch_hash="cd907fc2", top1=81.886, top5=95.78),
                _a1(101),
            ),
        ),
        _resnet(
            152,
            channels=2048,
            params=60_192_808,
            gmacs=11.51,
            weights=(
                _v1(
                    152,
                    smp="951dd835e9d086628e447b484584c8983f9e1dd0",
                    torch_hash="394f9c45",
                    top1=78.312,
                    top5=94.046,
                ),
                _v2(152, torch_hash="f82ba261", top1=82.284, top5=96.002),
                _a1(152),
            ),
        ),
    ]
