"""The Open Inference Protocol, version 2, over JSON.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md. Shapes: N images, H
height, W width, C channels, K outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo_core import Prediction, Predictor, __version__
from zoo_serve.bodies import check_count, from_base64, printable
from zoo_serve.limits import Limits, Refusal

IMAGE, PIXELS = "image", "pixels"
"""The two inputs of which a request has one: files in base64, or bytes (N, H, W, C)."""
ANSWER = "answer"
"""The output with the most probable class or label of each image."""


@dataclass(frozen=True)
class ModelFacts:
    """The names of a model in the protocol."""

    name: str
    task: Any
    classes: tuple[str, ...]
    channels: int
    datatype: str
    """The type of the answers: FP32, or FP64."""

    @classmethod
    def of(cls, predictor: Predictor, name: str) -> ModelFacts:
        datatype = {"float32": "FP32", "float64": "FP64"}[predictor.answer_type]
        return cls(name, predictor.objective.task, predictor.classes, predictor.preprocessing.channels, datatype)

    @property
    def values(self) -> str:
        """The name of the output with all answers: probabilities, or numbers."""
        return "values" if self.task.answers_with_all else "probabilities"

    @property
    def outputs(self) -> dict[str, tuple[str, list[int]]]:
        """The datatype and the shape of each output behind the images: a run of numbers has no most
        probable answer."""
        top: dict[str, tuple[str, list[int]]] = {} if self.task.answers_with_all else {ANSWER: ("BYTES", [])}
        return {**top, self.values: (self.datatype, [len(self.classes)])}

    def server(self) -> dict[str, Any]:
        return {"name": "zoo-serve", "version": __version__, "extensions": []}

    def model(self) -> dict[str, Any]:
        """The metadata of the model."""
        return {
            "name": self.name,
            "versions": ["1"],
            "platform": "zoo",
            "inputs": [
                {"name": IMAGE, "datatype": "BYTES", "shape": [-1]},
                {"name": PIXELS, "datatype": "UINT8", "shape": [-1, -1, -1, self.channels]},
            ],
            "outputs": [
                {"name": name, "datatype": datatype, "shape": [-1, *shape]}
                for name, (datatype, shape) in self.outputs.items()
            ],
            "parameters": {"task": self.task.name, self.task.outputs: list(self.classes)},
        }

    def read(self, request: Any, limits: Limits) -> tuple[list[Any], list[str]]:
        """The images of a request and their names. Raises Refusal."""
        inputs = request.get("inputs") if isinstance(request, dict) else None
        if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
            raise Refusal(400, f'"inputs" is a list of one tensor, "{IMAGE}" or "{PIXELS}".')
        self._wanted(request)
        given = inputs[0]
        name, datatype, shape, data = (given.get(key) for key in ("name", "datatype", "shape", "data"))
        if (name, datatype) not in ((IMAGE, "BYTES"), (PIXELS, "UINT8")):
            told = printable(f"{name} {datatype}")
            raise Refusal(400, f'there is no input "{told}". There are "{IMAGE}" of BYTES and "{PIXELS}" of UINT8.')
        if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
            raise Refusal(400, '"shape" is a list of whole numbers.')
        if not isinstance(data, list):
            raise Refusal(400, '"data" is a list.')
        check_count(shape[0] if shape else 0, limits)
        images = _files(data, shape) if name == IMAGE else self._pixels(data, shape, limits)
        return images, [f"image {number}" for number in range(len(images))]

    def _pixels(self, data: list[Any], shape: list[int], limits: Limits) -> list[Any]:
        if len(shape) != 4 or shape[3] not in (1, 3) or 0 in shape:
            raise Refusal(400, f'"{PIXELS}" has the shape [images, height, width, channels], with 1 or 3 channels.')
        if shape[1] * shape[2] > limits.max_pixels:
            raise Refusal(400, f"an image has {shape[2]} x {shape[1]} pixels, more than {limits.max_pixels:,}.")
        try:
            values = np.asarray(data)
            if values.dtype.kind not in "iu":
                raise ValueError
            if values.min() < 0 or values.max() > 255:
                raise ValueError
            return list(values.astype(np.uint8).reshape(shape))
        except (ValueError, TypeError, OverflowError):
            told = " x ".join(map(str, shape))
            raise Refusal(400, f'"data" has to have {told} whole numbers from 0 to 255.') from None

    def _wanted(self, request: dict[str, Any]) -> list[str]:
        """The outputs that a request names, or all. Raises Refusal for one that there is not."""
        wanted = request.get("outputs") or []
        if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
            raise Refusal(400, '"outputs" is a list of {"name": NAME}.')
        for one in wanted:
            if one.get("name") not in list(self.outputs):
                told, known = printable(str(one.get("name"))), " and ".join(f'"{name}"' for name in self.outputs)
                raise Refusal(400, f'there is no output "{told}". There is {known}.')
        return [name for name in self.outputs if not wanted or any(one["name"] == name for one in wanted)]

    def answer(self, request: dict[str, Any], predictions: list[Prediction]) -> dict[str, Any]:
        """The body of an answer."""
        data: dict[str, list[Any]] = {
            ANSWER: [one.answers[0][0] if one.answers else "" for one in predictions],
            self.values: [value for one in predictions for value in one.values],
        }
        found: dict[str, Any] = {"model_name": self.name, "model_version": "1"}
        if isinstance(request.get("id"), str):
            found["id"] = request["id"]
        outputs = {name: self.outputs[name] for name in self._wanted(request)}
        found["outputs"] = [
            {"name": name, "datatype": datatype, "shape": [len(predictions), *shape], "data": data[name]}
            for name, (datatype, shape) in outputs.items()
        ]
        found["parameters"] = {"hints": [one.hint for one in predictions]}
        return found


def _files(data: list[Any], shape: list[int]) -> list[Any]:
    if len(shape) != 1 or len(data) != shape[0]:
        raise Refusal(400, f'"{IMAGE}" has the shape [images], and "data" a text in base64 for each.')
    return [from_base64(text, f"image {number}") for number, text in enumerate(data)]
