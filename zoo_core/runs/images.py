"""The images of a run, remembered by content, so that an evaluation can tell which of its images the run knows.

`images.safetensors` has a tensor (N, 6) of bytes for the training and the validation part, under the
part's digest in config.json: the sorted beginnings of the digests of its images. An image can be
looked up there by who has it, and not be made from it.

Shapes: N images.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from zoo_core.data.sources import Part, PartName
from zoo_core.errors import ZooError
from zoo_core.runs.directory import IMAGES, file_of
from zoo_core.runs.schema import RunFacts
from zoo_core.tensors import read_tensors, write_tensors

BYTES = 6  # of a digest: among 5 million images a new one is taken for a known one once in 60 million times
KNOWN: tuple[PartName, ...] = ("train", "val")
"""The parts that a model is made with: its weights come from one, its best epoch from the other."""

Digests = dict[PartName, frozenset[bytes]]


def digests_of(parts: Mapping[PartName, Part]) -> Digests:
    """The beginnings of the digests of all images that a run is made with, by part."""
    return {
        name: frozenset(short(part, index) for index in range(len(part)))
        for name in KNOWN
        if (part := parts.get(name)) is not None
    }


def short(part: Part, index: int) -> bytes:
    """The beginning of an image's digest."""
    return part.images.digest(index)[:BYTES]


def write_images(directory: Path, facts: RunFacts, parts: Mapping[PartName, Part]) -> None:
    """Write the images of a run beside its config."""
    tensors = {
        facts.data.digests[name]: torch.from_numpy(
            np.frombuffer(b"".join(sorted(digests)), dtype=np.uint8).reshape(-1, BYTES).copy()
        )
        for name, digests in digests_of(parts).items()
    }
    write_tensors(directory / IMAGES, tensors)


def read_images(directory: Path, facts: RunFacts) -> Digests | None:
    """The images of a run, None where it has no record of them. Raises ZooError for a file that is no such record."""
    path = file_of(directory, IMAGES)
    if not path.is_file():
        return None
    found: Digests = {}
    tensors = read_tensors(path)
    for name in KNOWN:
        if name == "val" and name not in facts.data.digests:  # all images were trained on
            continue
        tensor = tensors.get(facts.data.digests.get(name, ""))
        if tensor is None:
            raise ZooError(f"{path} is no record of this run's images. Remove it to evaluate without one.")
        if tensor.dtype != torch.uint8 or tensor.shape[1:] != (BYTES,):
            raise ZooError(f"{path} holds no digests of images. Remove it to evaluate without them.")
        content = tensor.numpy().tobytes()
        found[name] = frozenset(content[start : start + BYTES] for start in range(0, len(content), BYTES))
    return found
