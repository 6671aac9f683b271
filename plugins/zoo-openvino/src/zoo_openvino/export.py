"""The format OpenVINO IR: the graph in NAME.xml, the weights in NAME.bin beside it.

The graph is the one of zoo-onnx, so that both formats share one conversion of torch's operators
and one quantisation; OpenVINO runs its pairs of QuantizeLinear and DequantizeLinear in integers.
Shapes: B batch, C channels, H height, W width, K answers.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from zoo_core import ZooError
from zoo_openvino.plugin import OpenvinoOptions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import openvino
    from torch import Tensor, nn

FACTS = "zoo"
"""The key of the facts, as JSON, in the model's runtime information."""
IN_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}
"""OpenVINO computes in bfloat16 unless told, on CPUs with units for it: other answers than those
that were checked."""


def export(
    options: OpenvinoOptions,
    *,
    network: nn.Module,
    example_BCHW: Tensor,
    facts: dict[str, Any],
    path: Path,
    calibration: Callable[[int], Iterator[npt.NDArray[Any]]],
) -> None:
    """Write a network to an .xml file and a .bin file, for any number of images."""
    import openvino
    from zoo_onnx import export as onnx
    from zoo_onnx.plugin import OnnxOptions

    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "model.onnx"
        onnx.export(
            OnnxOptions("int8" if options.precision == "int8" else "fp32", options.images, options.ranges),
            network=network,
            example_BCHW=example_BCHW,
            facts={},
            path=graph,
            calibration=calibration,
        )
        model = _read(graph)
        model.set_rt_info("onnx", ["framework"])  # in place of the graph's own metadata
        model.set_rt_info(json.dumps({**facts, "precision": options.precision}), [FACTS])
        # float16 is a matter of the stored weights alone: the graph before is in float32
        openvino.save_model(model, path, compress_to_fp16=options.precision == "fp16")


def _read(graph: Path) -> openvino.Model:
    """The graph of an ONNX file. Raises ZooError for one that OpenVINO does not take, such as a
    pooling over more pixels than there are."""
    import openvino

    try:
        return openvino.Core().read_model(graph)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in lines if line.startswith("Kernel")), " ".join(lines)[:300])
        raise ZooError(
            f"OpenVINO does not take this network: {reason} A run of larger images may be taken (--image-size); --to onnx "
            "writes this one."
        ) from error


def facts(path: Path) -> dict[str, Any]:
    """The facts in such a file; empty where it has none."""
    import openvino

    model = openvino.Core().read_model(path)
    found: dict[str, Any] = json.loads(model.get_rt_info([FACTS]).astype(str)) if model.has_rt_info([FACTS]) else {}
    return found


def run(path: Path) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """Open such a model on the CPU: a function from images (B, C, H, W) to answers (B, K).

    It is for one thread at a time: others wait.
    """
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", IN_FLOAT32)
    lock = Lock()

    def answers(images_BCHW: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        with lock:
            found: npt.NDArray[np.float32] = compiled(images_BCHW)[0]
        return found

    return answers
