"""zoo's own augmentations and their options, registered through the same hook as a plugin's."""

from __future__ import annotations

from dataclasses import dataclass

from zoo_core.hookspecs import hookimpl
from zoo_core.options import NoOptions
from zoo_core.specs import AugmentSpec


@dataclass(frozen=True)
class ColorOptions:
    strength: float = 0.4  # timm's usual one
    hue: float = 0.0

    def __post_init__(self) -> None:
        _check_range("strength", self.strength, 0, 1)
        _check_range("hue", self.hue, 0, 0.5)  # half of the colour circle


@dataclass(frozen=True)
class RotateOptions:
    degrees: float = 15.0

    def __post_init__(self) -> None:
        _check_range("degrees", self.degrees, 0, 180)


@dataclass(frozen=True)
class EraseOptions:
    p: float = 0.5
    area: float = 0.33

    def __post_init__(self) -> None:
        _check_range("p", self.p, 0, 1)
        _check_range("area", self.area, 0.02, 1)  # the least is always 0.02


@dataclass(frozen=True)
class RandOptions:
    n: int = 2
    m: int = 9

    def __post_init__(self) -> None:
        _check_range("n", self.n, 1, 14)  # as many as there are changes
        _check_range("m", self.m, 0, 30)


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} must be at least {least} and at most {most}, got {value:g}")


@hookimpl
def zoo_augmentations() -> list[AugmentSpec]:
    return [
        _augmentation("crop", "a random box of 70 to 100 % of the area, at a ratio from 3:4 to 4:3"),
        _augmentation("flip", "the mirror image, half of the time"),
        _augmentation("color", "brightness, contrast and saturation up to the strength, and the hue", ColorOptions),
        _augmentation("rotate", "a turn by up to some degrees; corners get the mean colour", RotateOptions),
        _augmentation("erase", "a box of the mean colour, with the probability p, of 2 % to area", EraseOptions),
        _augmentation("trivial", "TrivialAugment: one of 14 changes, of any strength"),
        _augmentation("rand", "RandAugment: n of 14 changes, of the strength m of 30", RandOptions),
    ]


def _augmentation(name: str, summary: str, options: type = NoOptions) -> AugmentSpec:
    return AugmentSpec(name=name, apply=f"zoo_core.data.operations:{name}", options=options, summary=summary)
