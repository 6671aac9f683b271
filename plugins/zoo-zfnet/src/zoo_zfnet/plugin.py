"""The facts about ZFNet."""

from __future__ import annotations

from zoo_core import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec, Paper, Preprocessing, hookimpl

HOOK_API = 2


@hookimpl
def zoo_backbones() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name="zfnet",
            build="zoo_zfnet.model:zfnet",
            stages=("conv1", "conv2", "conv3", "conv4", "conv5"),
            channels=256,
            stride=32,
            min_size=47,  # the last pooling still has a window
            year=2013,
            paper=Paper(
                title="Visualizing and Understanding Convolutional Networks",
                authors="Zeiler, Fergus",
                venue="ECCV",
                year=2014,
                arxiv="1311.2901",
            ),
            preprocessing=Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD),
            params=62_357_608,
            gmacs=1.17,
            novelty="pictures of what each layer answers to, which led to smaller filters and strides in the first ones",
            note="no trained weights are published: it starts from scratch",
        )
    ]
