"""A web page that carries a network and what runs it.

Shapes: B batch, C channels, H height, W width, F features, G groups, D directions, K answers.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
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
    explained: Callable[[], Any] | None = None,
) -> None:
    """Write the page: a network in ONNX, onnxruntime-web, and the script that reads photos.

    The network is the `explained` one, which also gives features and a heat map, without the map
    where ONNX lacks one of its operations.
    """
    import torch

    made = None if explained is None else explained()
    write = partial(_onnx, options, example_BCHW=example_BCHW, facts=facts, calibration=calibration, folder=path.parent)
    if made is None:
        content = write(network, outputs=("answers",))
    else:
        try:
            content = write(made, outputs=made.outputs)
        except torch.onnx.OnnxExporterError:
            made = made.without_map()
            content = write(made, outputs=made.outputs)
    told = {name: value for name, value in facts.items() if name != "lacks"}  # the page resizes, and knows distances
    if made is not None and made.familiar is not None:
        told["familiar"] = _familiar(**made.familiar)
    path.write_text(page(told, content), encoding="utf-8")


def _onnx(options: PageOptions, network: nn.Module, *, folder: Path, **given: Any) -> bytes:
    """The bytes of a network in ONNX."""
    from zoo_onnx import export as onnx
    from zoo_onnx.plugin import OnnxOptions

    with tempfile.TemporaryDirectory(dir=folder) as work:
        model = Path(work) / "model.onnx"
        onnx.export(OnnxOptions(precision=options.precision), network=network, path=model, **given)
        return model.read_bytes()


def _familiar(
    means_GF: npt.NDArray[Any], directions_DF: npt.NDArray[Any], spreads_D: npt.NDArray[Any], rest: float, limit: float
) -> dict[str, Any]:
    """The distribution of the training images' features for JSON: its arrays one after the other,
    as float32 in base64."""
    import numpy as np

    numbers = np.concatenate([means_GF.ravel(), directions_DF.ravel(), spreads_D]).astype("<f4")
    return {
        "groups": len(means_GF),
        "directions": len(directions_DF),
        "features": means_GF.shape[1],
        "rest": rest,
        "limit": limit,
        "numbers": base64.b64encode(numbers.tobytes()).decode(),
    }


def page(facts: dict[str, Any], model: bytes) -> str:
    """The page of a network with these facts. Nothing in it can end a script or begin a tag."""
    parts = {
        "FACTS": json.dumps(facts).replace("<", "\\u003c"),
        "MODEL": base64.b64encode(model).decode(),
        "WASM": base64.b64encode(files("zoo_page").joinpath("resources", "ort.wasm.gz").read_bytes()).decode(),
        "ORT": _resource("ort.min.js"),
        "RESIZE": _resource("resize.js"),
        "JPEG": _resource("jpeg.js"),
        "WEBP": _resource("webp.js"),
        "EXPLAIN": _resource("explain.js"),
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
