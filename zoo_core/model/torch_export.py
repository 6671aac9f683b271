"""The format of torch.export: the network as a graph of torch's operators, with its weights, for any
number of images.

Source: PyTorch's torch.export. Shapes: B batch, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from zoo_core.options import NoOptions

FACTS = "zoo.json"
"""The name of the facts in the file; `torch.export.load(path, extra_files={"zoo.json": ""})` reads
them."""


def export(options: NoOptions, *, network: nn.Module, example_BCHW: Tensor, facts: dict[str, Any], path: Path) -> None:
    """Write the graph of a network to a .pt2 file."""
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad():
        program = torch.export.export(network, (example_BCHW,), dynamic_shapes=({0: batch},))
    torch.export.save(program, path, extra_files={FACTS: json.dumps(facts)})


def facts(path: Path) -> dict[str, Any]:
    """The facts in such a file; empty where it has none."""
    extra = {FACTS: ""}
    torch.export.load(path, extra_files=extra)
    found: dict[str, Any] = json.loads(extra[FACTS] or "{}")
    return found


def run(path: Path) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]:
    """Open such a file: a function from images (B, C, H, W) to answers (B, K)."""
    network = torch.export.load(path).module()

    def answers(images_BCHW: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        with torch.no_grad():
            found: npt.NDArray[Any] = network(torch.from_numpy(images_BCHW)).numpy()
        return found

    return answers
