"""Smaller graphs: weights and activations as floats of 16 bits, or as integers of 8.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

if TYPE_CHECKING:
    import numpy.typing as npt

METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
PERCENTILE = 99.99
LAYERS = ("Conv", "Gemm", "MatMul")


def in_float16(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in floats of 16 bits, with images and answers in the types that they had."""
    half = OnnxModel(
        convert_float_to_float16(
            graph, keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, "Softmax", "Sigmoid"]
        )
    )
    half.topological_sort()
    made: onnx.ModelProto = half.model
    return made


def in_int8(graph: onnx.ModelProto, batches: Iterator[npt.NDArray[Any]], ranges: str, folder: Path) -> onnx.ModelProto:
    """The graph in integers of 8 bits: weights by channel, activations by the ranges that they have
    on images.

    The last layer and all behind it stay in float32.
    """
    with tempfile.TemporaryDirectory(dir=folder) as work, _quietly():
        whole, plain, made = (f"{work}/{name}.onnx" for name in ("whole", "plain", "int8"))
        onnx.save_model(graph, whole)
        quant_pre_process(whole, plain, skip_symbolic_shape=True, skip_optimization=True)
        quantize_static(
            plain,
            made,
            Reader(graph.graph.input[0].name, batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_in_float(onnx.load(plain).graph),
            calibrate_method=METHODS[ranges],
            extra_options={"CalibPercentile": PERCENTILE, "CalibStridedMinMax": 1},
        )
        return onnx.load(made)


def _in_float(graph: onnx.GraphProto) -> list[str]:
    """The names of the nodes that stay in float32: the scaling of bytes before the first layer, and
    all from the last one on, which are the classifier, its probabilities, and the nodes from which
    other outputs follow."""
    behind = _nodes_of(graph.output[0].name, graph.node)
    layers = [index for index, node in enumerate(graph.node) if node.op_type in LAYERS and index in behind]
    return [node.name for index, node in enumerate(graph.node) if not layers[0] <= index < layers[-1]]


def _nodes_of(output: str, nodes: Sequence[onnx.NodeProto]) -> set[int]:
    """The places of the nodes, which stand in the order of their computation, that an output
    follows from."""
    needed, found = {output}, set()
    for index in reversed(range(len(nodes))):
        if needed.intersection(nodes[index].output):
            found.add(index)
            needed.update(nodes[index].input)
    return found


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Batches of images, one at a time: the activations of all of them together fill any memory."""

    def __init__(self, name: str, batches: Iterator[npt.NDArray[Any]]) -> None:
        self.name = name
        self.batches = list(batches)
        self.now, self.end = 0, len(self.batches)

    def __len__(self) -> int:
        return len(self.batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        self.now, self.end = start_index, end_index

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        if self.now >= self.end:
            return None
        self.now += 1
        return {self.name: self.batches[self.now - 1]}


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """onnxruntime's quantisation prints its steps, and advises some that were made."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
