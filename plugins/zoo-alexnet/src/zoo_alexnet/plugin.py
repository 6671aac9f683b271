"""The facts about AlexNet as torchvision builds it."""

from __future__ import annotations

from zoo_core import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec, Paper, Preprocessing, TorchFile, WeightsRef, hookimpl

HOOK_API = 2

PREPROCESSING = Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)


@hookimpl
def zoo_backbones() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name="alexnet",
            build="zoo_alexnet.model:alexnet",
            reference="zoo_alexnet.model:published",
            stages=("conv1", "conv2", "conv3", "conv4", "conv5"),
            channels=256,
            stride=32,
            min_size=63,  # the last pooling still sees 3x3
            year=2012,
            paper=Paper(
                title="ImageNet Classification with Deep Convolutional Neural Networks",
                authors="Krizhevsky, Sutskever, Hinton",
                venue="NIPS",
                year=2012,
            ),
            preprocessing=PREPROCESSING,
            params=61_100_840,
            gmacs=0.714,
            novelty="a large convolutional network on two GPUs, with ReLU and dropout, in place of features made by hand",
            weights=(
                WeightsRef(
                    tag="imagenet-v1",
                    sources=(TorchFile(file="alexnet-owt-7be5be79.pth"),),
                    preprocessing=PREPROCESSING,
                    data="ImageNet-1k",
                    licence="BSD-3-Clause",
                    classes="imagenet-1k",
                    top1=56.522,
                    top5=79.066,
                    note="torchvision's IMAGENET1K_V1",
                ),
            ),
            note="the one-tower variant of 'One weird trick' (arXiv 1404.5997): narrower, without response normalisation",
        )
    ]
