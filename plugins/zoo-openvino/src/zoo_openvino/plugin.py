"""The facts about the format openvino."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zoo_core import ExporterSpec, hookimpl

HOOK_API = 2


@dataclass(frozen=True)
class OpenvinoOptions:
    """The numbers of the model, and how the ranges of 8-bit integers are found, as of the format
    onnx."""

    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    images: int = 256
    ranges: Literal["minmax", "percentile", "entropy"] = "minmax"

    def __post_init__(self) -> None:
        if not 1 <= self.images <= 100_000:
            raise ValueError(f"images must be from 1 to 100000, got {self.images}")


@hookimpl
def zoo_exporters() -> list[ExporterSpec]:
    return [
        ExporterSpec(
            name="openvino",
            export="zoo_openvino.export:export",
            run="zoo_openvino.export:run",
            facts="zoo_openvino.export:facts",
            suffix=".xml",
            second_suffix=".bin",
            options=OpenvinoOptions,
            calibrates=True,
            summary="an OpenVINO model for Intel's CPUs, GPUs and NPUs; also float16 and 8-bit integers",
        )
    ]
