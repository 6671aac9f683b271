"""The network that is exported, from images to answers, and the facts that go into the file.

Shapes: B batch, C channels, H height, W width, S side, K outputs.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from zoo_core.data.transforms import resized_side
from zoo_core.predict import Predictor
from zoo_core.tasks.objective import Objective
from zoo_core.version import __version__
from zoo_core.weights_specs import Preprocessing


class Answering(nn.Module):
    """A network whose outputs are answers: probabilities, or numbers."""

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network = network
        self.task, self.temperature = objective.task, objective.fitted.temperature

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.task.values(self.network(images_BCHW) / self.temperature)


class OfPixels(nn.Module):
    """A network of normalised images as one of bytes (B, C, S, S), as `on_device.normalised` scales
    them."""

    scale_C11: Tensor
    shift_C11: Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        pairs = list(zip(preprocessing.mean, preprocessing.std, strict=True))
        self.register_buffer("scale_C11", _column([1 / (255 * std) for _, std in pairs]))
        self.register_buffer("shift_C11", _column([-mean / std for mean, std in pairs]))

    def forward(self, pixels_BCHW: Tensor) -> Any:
        return self.network(pixels_BCHW.float() * self.scale_C11 + self.shift_C11)


def _column(values: list[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]


def exported_network(predictor: Predictor, *, with_preprocessing: bool) -> nn.Module:
    """The module that an exporter writes: normalised images, or bytes, to answers (B, K)."""
    network: nn.Module = Answering(predictor.network, predictor.objective)
    return (OfPixels(network, predictor.preprocessing) if with_preprocessing else network).eval()


def example_of(preprocessing: Preprocessing, *, with_preprocessing: bool) -> Tensor:
    """Two images (2, C, S, S) of the type that the exported network takes."""
    dtype = torch.uint8 if with_preprocessing else torch.float32
    return torch.zeros(2, preprocessing.channels, preprocessing.size, preprocessing.size, dtype=dtype)


def facts_of(predictor: Predictor, *, with_preprocessing: bool) -> dict[str, Any]:
    """The facts of a run as plain data: what the file takes, what it gives, and what it lacks."""
    facts, objective, preprocessing = predictor.facts, predictor.objective, predictor.preprocessing
    assert facts is not None
    shape = f"(batch, {preprocessing.channels}, {preprocessing.size}, {preprocessing.size})"
    colours = "RGB" if preprocessing.channels == 3 else "grey"
    scaled = f"uint8 {shape}: {colours} pixels, 0 to 255; the file normalises them"
    plain = f"float32 {shape}: {colours} pixels divided by 255, minus mean, divided by std"
    thresholds_K, familiar = objective.fitted.thresholds_K, objective.fitted.familiar
    return {
        "zoo_core": __version__,
        "task": objective.task.name,
        "classes": list(predictor.classes),
        "backbone": facts.backbone.name,
        "head": facts.head.name,
        "input": scaled if with_preprocessing else plain,
        "resize": resize_in_words(preprocessing),
        "preprocessing": asdict(preprocessing),
        "normalises": with_preprocessing,
        "output": _output(objective, predictor.answer_type),
        "temperature": objective.fitted.temperature,
        **({} if thresholds_K is None else {"thresholds": thresholds_K.tolist()}),
        "lacks": ["the resize"] + ([] if familiar is None else ["the distance to the training images"]),
    }


def resize_in_words(preprocessing: Preprocessing) -> str:
    """The way from an upright photo to the square of pixels that the file takes."""
    side, size, how = resized_side(preprocessing), preprocessing.size, preprocessing.interpolation
    filtered = how if how == "nearest" else f"{how} with antialiasing, as Pillow's resize"
    ways = {
        "crop": f"the shorter side to {side} pixels",
        "pad": f"the longer side to {side} pixels, the rest filled with the mean colour",
        "squash": f"both sides to {side} pixels",
    }
    cropped = "" if size == side and preprocessing.fit != "crop" else f"; then the centre of {size} x {size}"
    return f"{ways[preprocessing.fit]}, {filtered}{cropped}"


def _output(objective: Objective, kind: str) -> str:
    task, temperature = objective.task, objective.fitted.temperature
    if not task.has_temperature:
        return f"{kind} (batch, {task.outputs}): numbers in the units of the training data"
    sums = "; they add up to 1" if task.single_label else "; each lies between 0 and 1"
    return (
        f"{kind} (batch, {task.outputs}): probabilities{sums}; the temperature {temperature:.4g}, fitted to the "
        "validation images, is applied"
    )
