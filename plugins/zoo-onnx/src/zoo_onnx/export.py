"""The format ONNX: written by torch.onnx.export, run by onnxruntime.

Shapes: B batch, C channels, H height, W width, K answers.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_onnx.plugin import OnnxOptions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import onnx
    from torch import Tensor, nn

INPUT, OUTPUT = "images", "answers"
FACTS = "zoo"
"""The key of the facts, as JSON, in the file's metadata; each fact also has a key of its own."""


def export(
    options: OnnxOptions,
    *,
    network: nn.Module,
    example_BCHW: Tensor,
    facts: dict[str, Any],
    path: Path,
    calibration: Callable[[int], Iterator[npt.NDArray[Any]]],
    outputs: Sequence[str] = (OUTPUT,),
) -> None:
    """Write a network to an .onnx file, for any number of images. One that gives a tuple has
    several `outputs`, the answers first."""
    import onnx

    from zoo_onnx import smaller

    graph = _graph_of(network, example_BCHW, outputs)
    if options.precision == "fp16":
        graph = smaller.in_float16(graph)
    elif options.precision == "int8":
        graph = smaller.in_int8(graph, calibration(options.images), options.ranges, path.parent)
    _describe(graph, {**facts, "precision": options.precision})
    onnx.checker.check_model(graph)
    onnx.save_model(graph, str(path))


def _graph_of(network: nn.Module, example_BCHW: Tensor, outputs: Sequence[str]) -> onnx.ModelProto:
    """The graph of a network in float32, without the names of this machine's files."""
    import torch

    batch = torch.export.Dim("batch", min=1)
    with _quietly():
        program = torch.onnx.export(
            network,
            (example_BCHW,),
            dynamo=True,
            dynamic_shapes=({0: batch},),
            input_names=[INPUT],
            output_names=list(outputs),
            verbose=False,
        )
    assert program is not None
    graph: onnx.ModelProto = program.model_proto
    for part in (*graph.graph.node, *graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        part.ClearField("metadata_props")  # torch notes the lines of source files there
        part.ClearField("doc_string")
    return graph


def _describe(graph: onnx.ModelProto, facts: dict[str, Any]) -> None:
    """Write the facts into the metadata: as one JSON, and one by one for people."""
    graph.producer_name, graph.producer_version = "zoo", str(facts.get("zoo_core", ""))
    del graph.metadata_props[:]
    graph.metadata_props.add(key=FACTS, value=json.dumps(facts))
    for key, value in facts.items():
        graph.metadata_props.add(key=f"{FACTS}.{key}", value=value if isinstance(value, str) else json.dumps(value))


def facts(path: Path) -> dict[str, Any]:
    """The facts in such a file; empty where it has none."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: dict[str, Any] = json.loads(session.get_modelmeta().custom_metadata_map.get(FACTS, "{}"))
    return found


def run(path: Path) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """Open such a file on the CPU: a function from images (B, C, H, W) to answers (B, K)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def answers(images_BCHW: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = session.run([OUTPUT], {INPUT: images_BCHW})[0]
        return found

    return answers


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """torch's exporter prints and logs its steps, also where it is told not to."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
