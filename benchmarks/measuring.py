"""What the benchmarks share: photographs that are made, children that are timed, and what a report begins with."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

CLASSES = ("amber", "jade", "rose", "slate")
TINTS = ((40, 15, -30), (-25, 35, 0), (40, -20, 15), (-20, -5, 30))
STRIPES = (9.0, 15.0, 23.0, 35.0)  # pixels from one stripe to the next


def make_photos(root: Path, *, train: int, val: int, width: int = 500, height: int = 375, seed: int = 0) -> Path:
    """Write JPEGs in four classes under ROOT/train and ROOT/val, unless they are there; `train` and `val` count all.

    Clouds of colour with fine grain, so that a file of 500 x 375 pixels has the 100 kB of a real photograph. A class has
    a tint and a width of stripes: a linear head on random features can tell them apart.
    """
    numbers = [("train", number) for number in range(train)] + [("val", number) for number in range(val)]
    for place, (part, number) in enumerate(numbers):
        label = number % len(CLASSES)
        path = root / part / CLASSES[label] / f"{number:05}.jpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _photo(label, width, height, [seed, place]).save(path, quality=93)
    return root


def _photo(label: int, width: int, height: int, seed: list[int]) -> Any:
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(seed)
    clouds = generator.integers(40, 216, (6, 8, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(clouds).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    angle, start = generator.uniform(0, np.pi, 2)
    rows, columns = np.mgrid[:height, :width]
    across = (rows * np.sin(angle) + columns * np.cos(angle)) * (500 / width)
    stripes = 14 * np.sin(across * (2 * np.pi / STRIPES[label]) + start)
    grain = generator.normal(0, 9, (height, width, 1))
    return Image.fromarray((pixels + stripes[..., None] + grain + TINTS[label]).clip(0, 255).astype(np.uint8))


def in_child(script: str, *arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run `script --child ARGUMENTS` in a fresh process, which prints JSON as its last line."""
    command = [sys.executable, script, "--child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    if done.returncode:
        raise SystemExit(f"`{' '.join(command)}` failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def environment(*packages: str) -> str:
    """Versions and cores, for the head of a report."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"Python {platform.python_version()}, {versions}, {len(os.sched_getaffinity(0))} cores"


def has_bfloat16() -> bool:
    """Whether the CPU has units for bfloat16."""
    import torch

    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
