"""The resize of ONNX beside that of Pillow: how far pixels and answers move.

    python benchmarks/resize.py RUN PHOTOS

Each photo under the folder PHOTOS is resized as the run's preprocessing has it, by Pillow, which zoo does, and by ONNX's
operator Resize (opset 19, antialias, on bytes) with onnxruntime. Both squares go through the run's network. The tolerance is
that of `zoo export` in float32.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from onnx import TensorProto, helper
from PIL import Image, ImageOps

import zoo_core
from measuring import environment
from zoo_core.data.on_device import normalised
from zoo_core.data.transforms import resized_side
from zoo_core.exporting.agreement import DIFFERENCES

Pixels = npt.NDArray[np.uint8]
MODES: dict[str, dict[str, Any]] = {
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5},  # Pillow's coefficient
    "bilinear": {"mode": "linear"},
}
OPSET, IR = 19, 9


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the resize of ONNX with Pillow's.")
    parser.add_argument("run", help="run directory of a classifier of colour images")
    parser.add_argument("photos", type=Path, help="folder of photos")
    arguments = parser.parse_args()
    predictor = zoo_core.load(arguments.run, device="cpu")
    how = predictor.preprocessing
    files = sorted(path for path in arguments.photos.rglob("*") if path.is_file())
    print(environment("torch", "onnxruntime", "pillow"), f"{len(files)} photos")
    for mode in MODES:
        session = _resize_of(mode)
        pixels, shares, moved, changed = [], [], [], 0
        for path in files:
            with Image.open(path) as opened:
                image = ImageOps.exif_transpose(opened).convert("RGB")
            scale = resized_side(how) / min(image.size)
            width, height = (round(length * scale) for length in image.size)
            ours = np.asarray(image.resize((width, height), Image.Resampling[mode.upper()]))
            sizes = np.array([1, 3, height, width])
            theirs = session.run(None, {"x": _first(np.asarray(image)), "sizes": sizes})[0]
            apart = np.abs(_first(ours).astype(int) - theirs.astype(int))
            pixels.append(int(apart.max()))
            shares.append(float((apart > 0).mean()))
            both = np.concatenate([_centre(_first(ours), how.size), _centre(theirs, how.size)])
            with torch.inference_mode():
                images_2CHW = normalised(torch.from_numpy(both), how, torch.device("cpu"))
                answers_2K = predictor.objective.values(predictor.network(images_2CHW))
            moved.append(float((answers_2K[0] - answers_2K[1]).abs().max()))
            changed += int(answers_2K[0].argmax() != answers_2K[1].argmax())
        tolerance = DIFFERENCES["fp32"] or 0.0
        print(
            f"{mode}: {100 * np.mean(shares):.2f} % of the values differ, by up to {max(pixels)} of 255; an answer moves by "
            f"up to {max(moved):.2g} (median {np.median(moved):.2g}), by more than {tolerance:g} for "
            f"{sum(one > tolerance for one in moved)} photos; {changed} answers change"
        )


def _resize_of(mode: str) -> onnxruntime.InferenceSession:
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], antialias=1, **MODES[mode])
    given = [
        helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 3, "height", "width"]),
        helper.make_tensor_value_info("sizes", TensorProto.INT64, [4]),
    ]
    graph = helper.make_graph([node], "resize", given, [helper.make_tensor_value_info("y", TensorProto.UINT8, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _first(pixels_HWC: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels_HWC.transpose(2, 0, 1)[None])


def _centre(pixels_BCHW: Pixels, size: int) -> Pixels:
    top, left = ((length - size) // 2 for length in pixels_BCHW.shape[2:])
    return pixels_BCHW[..., top : top + size, left : left + size]


if __name__ == "__main__":
    main()
