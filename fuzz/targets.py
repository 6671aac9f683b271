"""What is given damaged files: the readers of everything that may come from outside, and good files to begin with."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fuzz.mutations import damaged, damaged_header, damaged_json, damaged_png
from zoo_core.data.decode import open_image
from zoo_core.runs.card import render_card
from zoo_core.runs.directory import Run, read_json, read_result
from zoo_core.runs.schema import parse_facts
from zoo_core.tensors import read_tensors, write_tensors


@dataclass(frozen=True)
class Target:
    """A reader: the file it reads, good contents of it, how they are damaged, and the call."""

    name: str
    file: str
    seeds: tuple[bytes, ...]
    damage: Callable[[bytes, random.Random], bytes]
    read: Callable[[Path], object]


RUN: dict[str, Any] = {
    "format": "zoo-run",
    "version": 1,
    "created": "2026-01-01T00:00:00+00:00",
    "zoo_core": "1",
    "torch": "2",
    "config": {"backbone": "net", "epochs": 2, "lr": 0.01, "data": "photos", "size": 32},
    "backbone": {"name": "net", "distribution": "zoo-net", "version": "1"},
    "head": {"name": "mlp:hidden=8", "distribution": "zoo-core", "version": "1"},
    "strategy": {"name": "last:1", "distribution": "zoo-core", "version": "1"},
    "start": {"tag": "t", "source": "hf:a/b", "sha256": "0" * 64, "revision": None, "data": "d", "licence": "MIT"},
    "classes": ["cats", "dogs"],
    "preprocessing": {"size": 32, "crop": 0.875, "interpolation": "bilinear", "mean": [0.5], "std": [0.5]},
    "data": {
        **{"title": "photos", "images": {"train": 8, "val": 2}, "digests": {"val": "0" * 64}},
        **{"split": {"kind": "stratified", "seed": 0, "val_share": 0.2}, "skipped": 1, "findings": ["Leakage: 1"]},
    },
    "plan": {
        "stages": ["stem", "body"],
        "phases": [{"epochs": 2, "rules": [{"lr": 0.0}, {"lr": 0.5, "statistics": "update"}, {"lr": 1.0}]}],
    },
}
METRICS: list[dict[str, Any]] = [
    {
        **{"event": "epoch", "epoch": 1, "phase": 1, "lr": 0.1, "train_loss": 0.7, "val_loss": 0.7},
        **{"val_score": 0.5, "metric": "accuracy", "seconds": 1.0},
    },
    {
        **{"event": "result", "part": "val", "images": 2, "metric": "accuracy", "score": 0.5, "correct": 1},
        **{"accuracy": 0.5, "interval": [0.1, 0.9]},
        **{"loss": 0.7, "best_epoch": 1, "seconds": 1.0, "confusion": [[1, 0], [1, 0]]},
    },
]


def targets(folder: Path) -> list[Target]:
    """All readers. `folder` is for good files that have to be written to be had."""
    facts = parse_facts(RUN, "config.json")
    tensors = {"body.weight": torch.ones(2, 3), "head.output.bias": torch.zeros(2), "empty": torch.zeros(0)}
    write_tensors(folder / "good.safetensors", tensors)
    weights = (folder / "good.safetensors").read_bytes()
    result = "\n".join(json.dumps(line) for line in METRICS).encode()
    return [
        Target("config.json", "config.json", (json.dumps(RUN).encode(),), damaged_json, _facts),
        Target(
            *("metrics.jsonl", "metrics.jsonl", (result,), damaged_json),
            lambda path: render_card(facts, read_result(Run(path.parent, facts))),
        ),
        Target("model.safetensors", "model.safetensors", (weights,), damaged_header, _tensors),
        *(
            Target(
                *(kind, f"image.{kind.lower()}", seeds, damaged_png if kind == "PNG" else damaged),
                lambda path: open_image(path).getextrema(),
            )
            for kind, seeds in _images().items()
        ),
    ]


def _facts(path: Path) -> object:
    """Facts that pass have to be writable as JSON and as a card."""
    facts = parse_facts(read_json(path), str(path))
    metrics = {**METRICS[-1], "confusion": [[0] * len(facts.classes)] * len(facts.classes)}
    return facts.to_dict(), render_card(facts, metrics) if len(facts.classes) < 100 else None


def _tensors(path: Path) -> object:
    """Tensors that pass have to be readable to the last byte."""
    return [bool(tensor.isnan().any()) for tensor in read_tensors(path).values() if tensor.is_floating_point()]


def _images() -> dict[str, tuple[bytes, ...]]:
    """Small files of each format: colour, grey, palettes, transparency, animation, orientation, 16 bits."""
    generator = np.random.default_rng(0)
    colour = Image.fromarray(generator.integers(0, 255, (24, 32, 3), dtype=np.uint8))
    clear = colour.convert("RGBA")
    clear.putalpha(colour.convert("L"))
    grey, palette, line = colour.convert("L"), colour.quantize(16), colour.convert("1")
    deep = Image.fromarray(generator.integers(0, 65535, (24, 32), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    film: dict[str, Any] = {"save_all": True, "append_images": [colour.rotate(90), colour.rotate(180)]}
    return {
        "JPEG": (
            _saved(colour, "JPEG", exif=exif),
            _saved(colour, "JPEG", progressive=True, comment=b"x"),
            _saved(grey, "JPEG"),
            _saved(colour.convert("CMYK"), "JPEG"),
        ),
        "PNG": (
            *(_saved(image, "PNG") for image in (colour, clear, grey, line, deep)),
            _saved(palette, "PNG", transparency=3),
            _saved(colour, "PNG", exif=exif, **film),
        ),
        "GIF": (_saved(palette, "GIF", transparency=2), _saved(colour, "GIF", loop=0, **film)),
        "TIFF": (
            *(_saved(image, "TIFF", exif=exif) for image in (colour, clear, deep, line)),
            *(_saved(colour, "TIFF", compression=kind) for kind in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg")),
            _saved(line, "TIFF", compression="group4"),
            _saved(colour, "TIFF", **film),
        ),
        "WEBP": (
            *(_saved(image, "WEBP") for image in (colour, clear)),
            _saved(colour, "WEBP", lossless=True, exif=exif),
            _saved(colour, "WEBP", **film),
        ),
        "BMP": tuple(_saved(image, "BMP") for image in (colour, grey, palette, line)),
        "PPM": (*(_saved(image, "PPM") for image in (colour, grey, line, deep)), b"P3\n2 1\n255\n1 2 3\n4 5 6\n"),
    }


def _saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()
