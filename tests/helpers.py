"""What tests import: the type of the command line's fixture, folders of small image files, a count of decodings, blank
pictures, the ways of a device on a CPU, a full disk."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from zoo_core.testing import make_photos

__all__ = [
    "Zoo",
    "act_as_accelerator",
    "decoding",
    "draw_blank",
    "files_of_at_most",
    "make_photos",
    "make_table",
    "resolved",
    "view_of",
]

from zoo_core.data.transforms import Geometry, Pixels, apply_crop, crop_of
from zoo_core.settings import ResolvedSettings
from zoo_core.weights_specs import Preprocessing

Zoo = Callable[..., subprocess.CompletedProcess[str]]


def resolved(**given: Any) -> ResolvedSettings:
    """Settings in which nothing is open, as a run on a CPU would decide them."""
    decided = {"task": "classification", "strategy": "full", "epochs": 2, "size": 32, "augment": "none"}
    decided |= {
        "base_lr": 0.2,
        "patience": 2,
        "views": 0,
        "precision": "float32",
        "compile": "off",
        "step_layout": "channels-last:8",
        "tiles": "frozen",
    }
    decided |= {
        "micro_batch": 32,
        "workers": 1,
        "decoding": "threads",
        "threads": 1,
        "device": "cpu",
        "lr": 0.01,
        "fit": "crop",
        "metric": "accuracy",
    }
    return ResolvedSettings(**{"backbone": "resnet18", **decided, **given})


def make_table(root: Path, header: str, describe: Callable[[str, int], str], *, count: int = 12) -> Path:
    """Write photos of two classes and a CSV file that says of each what `describe(class, number)` gives."""
    make_photos(root, count=count, size=24)
    lines = [header]
    for name in ("blue", "red"):
        for number in range(count):
            lines.append(f"{name}/{number}.{'png' if number % 2 else 'jpg'},{describe(name, number)}")
    file = root / "photos.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def decoding(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the files that a module looks into from now on."""
    lengths: list[int] = []
    check_image = module.check_image

    def counted(content: bytes) -> None:
        lengths.append(len(content))
        check_image(content)

    monkeypatch.setattr(module, "check_image", counted)
    return lengths


def draw_blank(setattr: Callable[[Any, str, Any], None]) -> None:
    """Let every picture from now on be a single pixel; its figure is still made."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    setattr(FigureCanvasAgg, "draw", lambda canvas: None)
    setattr(FigureCanvasAgg, "buffer_rgba", lambda canvas: np.full((1, 1, 4), 255, np.uint8))


def view_of(pixels: Pixels, preprocessing: Preprocessing, augment: Geometry, view: int, digest: bytes) -> Pixels:
    """One view (size, size, C) of a resized image."""
    return apply_crop(pixels, crop_of(pixels, preprocessing.size, augment, view, digest), preprocessing)


def act_as_accelerator(monkeypatch: pytest.MonkeyPatch, memory: int = 10**9) -> None:
    """Take the ways of a device that computes apart from the processor, and has so much memory left, on a CPU."""
    from zoo_core.devices.kinds import KINDS, Kind

    class Acting(Kind):
        is_accelerator = True

        def free_memory(self, device: object) -> int:
            return memory

    monkeypatch.setitem(KINDS, "cpu", Acting())


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system refuses to let a file grow beyond a size: the same error path as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
