"""A model repository for NVIDIA's Triton Inference Server, as a ZIP file that unpacks to one.

    unzip model.zip -d models && tritonserver --model-repository models

Source: triton-inference-server/server, docs/user_guide/model_repository.md and model_configuration.md.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_onnx import export as onnx_export

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from zoo_onnx.plugin import OnnxOptions

MODEL, LABELS, CONFIG, FACTS = "zoo/1/model.onnx", "zoo/labels.txt", "zoo/config.pbtxt", "zoo/facts.json"
LONGEST_BATCH = 64
TEMPLATE = """\
name: "zoo"
backend: "onnxruntime"
max_batch_size: {batch}
input [ {{ name: "{input}" data_type: {type} dims: [ {dims} ] }} ]
output [ {{ name: "{output}" data_type: {answers} dims: [ {outputs} ] label_filename: "labels.txt" }} ]
dynamic_batching {{ max_queue_delay_microseconds: 2000 }}
"""


def export(
    options: OnnxOptions,
    *,
    network: nn.Module,
    example_BCHW: Tensor,
    facts: dict[str, Any],
    path: Path,
    calibration: Callable[[int], Iterator[npt.NDArray[Any]]],
) -> None:
    """Write the ONNX file with Triton's configuration and the names of the outputs."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        onnx_export.export(
            options, network=network, example_BCHW=example_BCHW, facts=facts, path=file, calibration=calibration
        )
        answers_BK = network(example_BCHW)
        config = TEMPLATE.format(
            batch=LONGEST_BATCH,
            input=onnx_export.INPUT,
            type="TYPE_FP32" if example_BCHW.is_floating_point() else "TYPE_UINT8",
            dims=", ".join(map(str, example_BCHW.shape[1:])),
            output=onnx_export.OUTPUT,
            answers="TYPE_FP64" if answers_BK.element_size() == 8 else "TYPE_FP32",
            outputs=answers_BK.shape[1],
        )
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            made.write(file, MODEL)
            made.writestr(CONFIG, config)
            made.writestr(LABELS, "".join(f"{' '.join(name.split())}\n" for name in facts.get("classes", ())))
            made.writestr(FACTS, json.dumps(facts))


def facts(path: Path) -> dict[str, Any]:
    """The facts in such a file."""
    with zipfile.ZipFile(path) as made:
        found: dict[str, Any] = json.loads(made.read(FACTS))
    return found


def run(path: Path) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """Open the network in such a file with onnxruntime, which Triton's backend also is."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as made:
        return onnx_export.run(Path(made.extract(MODEL, folder)))
