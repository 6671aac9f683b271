"""A web page that carries a network and what runs it.

Shapes: B batch, C channels, H height, W width, K answers.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo_page.plugin import PageOptions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

MODEL = re.compile(r'<script id="model" type="text/plain">([A-Za-z0-9+/=]+)</script>')


def export(
    options: PageOptions,
    *,
    network: nn.Module,
    example_BCHW: Tensor,
    facts: dict[str, Any],
    path: Path,
    calibration: Callable[[int], Iterator[npt.NDArray[Any]]],
) -> None:
    """Write the page: a network in ONNX, onnxruntime-web, and the script that reads photos."""
    from zoo_onnx import export as onnx
    from zoo_onnx.plugin import OnnxOptions

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        model = Path(folder) / "model.onnx"
        onnx.export(
            OnnxOptions(precision=options.precision),
            network=network,
            example_BCHW=example_BCHW,
            facts=facts,
            path=model,
            calibration=calibration,
        )
        content = model.read_bytes()
    path.write_text(page(facts, content), encoding="utf-8")


def page(facts: dict[str, Any], model: bytes) -> str:
    """The page of a network with these facts. Nothing in it can end a script or begin a tag."""
    parts = {
        "FACTS": json.dumps(facts).replace("<", "\\u003c"),
        "MODEL": base64.b64encode(model).decode(),
        "WASM": base64.b64encode(files("zoo_page").joinpath("resources", "ort.wasm.gz").read_bytes()).decode(),
        "ORT": _resource("ort.min.js"),
        "RESIZE": _resource("resize.js"),
        "PAGE": _resource("page.js"),
    }
    return re.sub(r"@(\w+)@", lambda found: parts[found[1]], _resource("page.html"))


def run(path: Path) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """Open the network of a page on the CPU: a function from images (B, C, H, W) to answers (B, K)."""
    import onnxruntime

    found = MODEL.search(path.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{path.name} carries no network")
    session = onnxruntime.InferenceSession(base64.b64decode(found[1]), providers=["CPUExecutionProvider"])

    def answers(images_BCHW: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        given: npt.NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: images_BCHW})[0]
        return given

    return answers


def _resource(name: str) -> str:
    return files("zoo_page").joinpath("resources", name).read_text(encoding="utf-8")
