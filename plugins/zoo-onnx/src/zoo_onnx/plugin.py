"""The facts about the format onnx."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zoo_core import ExporterSpec, hookimpl

HOOK_API = 2


@dataclass(frozen=True)
class OnnxOptions:
    """The numbers of the file, and how the ranges of 8-bit integers are found."""

    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    images: int = 256
    """Training images from which the ranges follow."""
    ranges: Literal["minmax", "percentile", "entropy"] = "minmax"
    """minmax takes all values; percentile leaves out the outermost ones; entropy those whose loss
    changes the distribution least."""

    def __post_init__(self) -> None:
        if not 1 <= self.images <= 100_000:
            raise ValueError(f"images must be from 1 to 100000, got {self.images}")


@hookimpl
def zoo_exporters() -> list[ExporterSpec]:
    return [
        ExporterSpec(
            name="onnx",
            export="zoo_onnx.export:export",
            run="zoo_onnx.export:run",
            facts="zoo_onnx.export:facts",
            suffix=".onnx",
            options=OnnxOptions,
            calibrates=True,
            summary="an ONNX graph for onnxruntime, browsers and devices; also float16 and 8-bit integers",
        ),
        ExporterSpec(
            name="triton",
            export="zoo_onnx.triton:export",
            run="zoo_onnx.triton:run",
            facts="zoo_onnx.triton:facts",
            suffix=".zip",
            options=OnnxOptions,
            calibrates=True,
            summary="a model repository for NVIDIA's Triton Inference Server, zipped, with the ONNX graph in it",
        ),
    ]
