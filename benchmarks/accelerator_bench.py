"""The rows of accelerator.py, and the folder in which it trains."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch

import zoo_core
from measuring import environment, make_photos
from zoo_core.training.callback import NullCallback


@dataclass
class Bench:
    """A device, a folder, and the rows that are there so far: a part, its figures in words, whether it holds."""

    device: str
    folder: Path
    out: Path
    ends: float
    rows: list[dict[str, Any]] = field(default_factory=list)
    part: str = ""

    @property
    def is_dry(self) -> bool:
        return self.device == "cpu"

    def tell(self, title: str, figure: str, *, holds: bool | None = None, **numbers: Any) -> None:
        """Add a row and write everything anew."""
        row = {"part": self.part, "title": title, "figure": figure, "holds": holds, **numbers}
        self.rows.append(row)
        verdict = {None: "", True: "  holds", False: "  DOES NOT HOLD"}[holds]
        print(f"{self.part:<12} {title:<44} {figure}{verdict}", flush=True)
        self.write()

    def write(self) -> None:
        about = {"device": name_of(self.device), "date": str(date.today()), "versions": versions()}
        self.out.with_suffix(".json").write_text(json.dumps({**about, "rows": self.rows}, indent=1))
        lines = [", ".join(about.values()), "", "| part | case | figure | holds |", "|---|---|---|---|"]
        words = {None: "", True: "yes", False: "**no**"}
        lines += [f"| {row['part']} | {row['title']} | {row['figure']} | {words[row['holds']]} |" for row in self.rows]
        self.out.with_suffix(".md").write_text("\n".join(lines) + "\n")

    def finetune(self, name: str, callback: NullCallback | None = None, **settings: Any) -> zoo_core.Result:
        """Train into a new folder."""
        config = zoo_core.FinetuneConfig(out=str(self.folder / name), **settings)
        return zoo_core.finetune(config, callback=callback or NullCallback())

    def photos(self, train: int, val: int = 64) -> str:
        """JPEGs of 500 x 375 pixels."""
        if self.is_dry:
            train, val = 64, 8
        root = self.folder / f"photos-{train}"
        if not root.exists():
            share = os.cpu_count() or 1
            with ProcessPoolExecutor(share) as pool:  # each makes some of them, and the last call finds all
                list(
                    pool.map(
                        _some_photos, [root] * share, [train] * share, [val] * share, range(share), [share] * share
                    )
                )
            make_photos(root, train=train, val=val)
        return str(root)


def _some_photos(root: Path, train: int, val: int, start: int, step: int) -> None:
    from measuring import CLASSES, _photo

    numbers = [("train", number) for number in range(train)] + [("val", number) for number in range(val)]
    for place in range(start, len(numbers), step):
        part, number = numbers[place]
        path = root / part / CLASSES[number % len(CLASSES)] / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        _photo(number % len(CLASSES), 500, 375, [0, place]).save(path, quality=93)


def name_of(device: str) -> str:
    return torch.cuda.get_device_name(0) if device.startswith("cuda") else "CPU, a dry run"


def versions() -> str:
    return environment("torch", "torchvision", "timm")
