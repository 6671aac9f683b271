"""The facts about the command lesson, and about the network of its chapter on residual networks."""

from __future__ import annotations

from dataclasses import dataclass

from zoo_core import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec, CommandSpec, Paper, Preprocessing, hookimpl

HOOK_API = 2

DEEP_RESIDUAL_LEARNING = Paper(
    title="Deep Residual Learning for Image Recognition",
    authors="He, Zhang, Ren, Sun",
    venue="CVPR",
    year=2016,
    arxiv="1512.03385",
)


@dataclass(frozen=True)
class ResidualOptions:
    """The options of `cifar_resnet`."""

    depth: int = 20
    """Layers with weights: 6n + 2."""
    shortcut: bool = True
    """Whether a shortcut leads around each pair of layers; without it the network is the plain one."""

    def __post_init__(self) -> None:
        if self.depth < 8 or (self.depth - 2) % 6:
            raise ValueError(f"depth must be 6n + 2, such as 8, 20, 32, 44, 56 or 110, got {self.depth}")


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="lesson",
            command="zoo_lesson.command:lesson",
            summary="Learn about convolutional networks in ten short chapters, on your own photos.",
        )
    ]


@hookimpl
def zoo_backbones() -> list[BackboneSpec]:
    return [
        BackboneSpec(
            name="cifar_resnet",
            build="zoo_lesson.model:cifar_resnet",
            stages=("stem", "layer1", "layer2", "layer3"),
            channels=64,
            stride=4,
            min_size=1,
            year=2015,
            paper=DEEP_RESIDUAL_LEARNING,
            preprocessing=Preprocessing(size=32, crop=1.0, mean=IMAGENET_MEAN, std=IMAGENET_STD),
            options=ResidualOptions,
            note="the networks for CIFAR-10 of the paper's section 4.2, residual or plain, to be trained from scratch",
        )
    ]
