"""Warnings before a training that can hardly succeed, each with its reason and a change that has better prospects.

The rules follow from facts alone: parameters and images, stages that stay random, and what the weights'
images looked like. They are as rough as those of `defaults`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from zoo_core.catalog import Catalog
from zoo_core.data.brightness import are_negatives, have_negatives
from zoo_core.data.sources import Part
from zoo_core.data.transforms import resized
from zoo_core.freezing.plan import Plan
from zoo_core.model.chain import Chain
from zoo_core.specs import BackboneSpec
from zoo_core.training.defaults import PARAMETERS_PER_IMAGE, is_many, sample_of
from zoo_core.weights_specs import PackageFile, Preprocessing
from zoo_core.wording import human_count

FEW_IMAGES = 5_000  # of more, a large network may learn something from scratch, in many epochs
COLOURED = 8  # of 256 levels: the mean difference of two channels, beyond the noise of a grey JPEG


def prospects(
    spec: BackboneSpec,
    base: Chain,
    plan: Plan,
    train: Part,
    preprocessing: Preprocessing,
    catalog: Catalog,
    *,
    pretrained: bool,
) -> list[str]:
    """Sentences about a training that can hardly succeed. A few images are read if their looks matter."""
    untrained = _never_trained(base, plan)
    found = [] if pretrained else [*_from_scratch(spec, base, train, catalog), *_random(spec, untrained, catalog)]
    asks_for_negatives = bool(pretrained and untrained and have_negatives(preprocessing))
    if preprocessing.channels != 1 and not asks_for_negatives:
        return found
    looks = _looks(train, preprocessing)
    if preprocessing.channels == 1 and looks.coloured:
        found.append(
            f"The images are in colour, and {spec.name} sees them in grey, {preprocessing.size} x {preprocessing.size} "
            f"pixels small: it will hardly tell them apart. {_pretrained(spec, catalog)}"
        )
    if asks_for_negatives and looks.negative:
        found.append(
            f"Most images are bright where those of the weights were dark, or the reverse, and {', '.join(untrained)} "
            "will not be trained to see them so. Invert the images, or give --strategy full."
        )
    return found


def _from_scratch(spec: BackboneSpec, base: Chain, train: Part, catalog: Catalog) -> list[str]:
    """With fewer images than that, 226 photographs of 12 classes gave 92 % mistakes: benchmarks/README.md."""
    parameters = sum(parameter.numel() for parameter in base.parameters())
    if len(train) >= FEW_IMAGES or is_many(len(train), parameters):
        return []
    return [
        f"From scratch, {spec.name} has {human_count(parameters)} parameters for {len(train):,} training images, more "
        f"than {PARAMETERS_PER_IMAGE} for each: it will hardly beat an answer that never looks at the image. "
        f"{_pretrained(spec, catalog)}"
    ]


def _never_trained(base: Chain, plan: Plan) -> list[str]:
    """The stages with weights that no phase trains, but for norms, biases and added ones."""
    rules = [plan.rules(phase) for phase in plan.phases]
    return [
        name
        for name in plan.stages
        if next(base.stage(name).parameters(), None) is not None
        and not any(rule[name].trainable and rule[name].parameters == "all" for rule in rules)
    ]


def _random(spec: BackboneSpec, untrained: list[str], catalog: Catalog) -> list[str]:
    if not untrained:
        return []
    return [
        f"The weights of {', '.join(untrained)} are random, and the strategy leaves them so. --strategy full trains "
        f"them. {_pretrained(spec, catalog)}"
    ]


def _pretrained(spec: BackboneSpec, catalog: Catalog) -> str:
    """The way to pretrained weights for photographs: the backbone's own, or another backbone."""
    if spec.weights and spec.weights[0].preprocessing.channels == 3:
        return "Pretrained weights do better: leave out --weights none."
    others = [
        entry.spec
        for entry in catalog.entries(BackboneSpec)
        if entry.spec.weights and entry.spec.weights[0].preprocessing.channels == 3
    ]
    if not others:
        return "Pretrained weights do better: `zoo list` shows which backbones have some."
    packaged = [one for one in others if any(isinstance(source, PackageFile) for source in one.weights[0].sources)]
    return f"Pretrained weights do better, such as those of --backbone {min(packaged or others, key=_size).name}."


def _size(spec: BackboneSpec) -> int:
    return spec.params or 0


@dataclass(frozen=True)
class Looks:
    """Whether most images of a sample are in colour, and negatives of the weights' images."""

    coloured: bool
    negative: bool


def _looks(train: Part, preprocessing: Preprocessing) -> Looks:
    coloured: list[bool] = []
    negative: list[bool] = []
    for image in sample_of(train):
        levels_HWC = np.asarray(image.convert("RGB").resize((32, 32)), dtype=np.int16)  # enough for a mean
        coloured.append(bool(np.abs(levels_HWC - levels_HWC[..., [1, 2, 0]]).mean() > COLOURED))
        pixels_HWC = torch.from_numpy(resized(image, preprocessing).copy())
        negative += are_negatives(pixels_HWC.permute(2, 0, 1)[None], preprocessing)
    return Looks(*(2 * sum(votes) > len(votes) for votes in (coloured, negative)))
