"""Safetensors files, and the preprocessing that stands beside weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from fuzz.mutations import damaged_header, damaged_json
from fuzz.target import Case, expect, fresh, target
from zoo_core.specs import BackboneSpec, Paper
from zoo_core.tensors import read_tensors, write_tensors
from zoo_core.weights.beside import preprocessing_beside
from zoo_core.weights_specs import Preprocessing


@target("safetensors", weight=8)
def safetensors(folder: Path) -> Case:
    """The bytes of each tensor are those that the header names."""
    kinds = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8)
    tensors = {f"body.{number}": torch.arange(6).reshape(2, 3).to(kind) for number, kind in enumerate(kinds)}
    write_tensors(folder / "good", {**tensors, "empty": torch.zeros(0), "scalar": torch.tensor(2.0)})

    def check(content: bytes) -> None:
        found = read_tensors(fresh(folder / "model.safetensors", content))
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        expect(found.keys() == header.keys(), "other names than those in the header")
        for name, tensor in found.items():
            first, end = header[name]["data_offsets"]
            stored = content[8 + length + first : 8 + length + end]
            own = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
            expect(list(tensor.shape) == header[name]["shape"] and own == stored, f"another tensor {name!a:.80}")

    return Case(((folder / "good").read_bytes(),), check, damaged_header)


@target("preprocessing beside", weight=6)
def beside(folder: Path) -> Case:
    """The preprocessing is the one in the file, or the default with the reason."""
    spec = BackboneSpec(
        name="net",
        build="m:f",
        stages=("stem",),
        channels=1,
        stride=1,
        min_size=1,
        year=2026,
        paper=Paper(title="a title", authors="an author", venue="a venue", year=2026),
        preprocessing=Preprocessing(size=28, crop=1.0, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3),
    )
    cfg = {"input_size": [3, 32, 32], "crop_pct": 0.9, "interpolation": "bicubic", "mean": [0.4] * 3, "std": [0.2] * 3}

    def check(content: bytes) -> None:
        fresh(folder / "config.json", content)
        found, reason = preprocessing_beside(spec, folder)
        expect(reason.replace("\n", " ").isprintable(), f"a reason that steers a terminal: {reason!a:.200}")
        if found != spec.preprocessing:
            own = json.loads(content)["pretrained_cfg"]
            expect([found.size] * 2 == own["input_size"][1:], "another size")
            expect(list(found.mean) == own["mean"] and list(found.std) == own["std"], "other colours")
            expect(found.crop == own.get("crop_pct", 0.875) and bool(np.isfinite(found.crop)), "another crop")

    return Case((json.dumps({"architecture": "net", "pretrained_cfg": cfg}).encode(),), check, damaged_json)
