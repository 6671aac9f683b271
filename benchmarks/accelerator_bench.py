"""The rows of accelerator.py, and the folder in which it trains."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch

import zoo_core
from measuring import environment, make_photos
from zoo_core.devices.kinds import kind_of
from zoo_core.training.callback import NullCallback

LAST = Path(__file__).parent / "accelerator.json"
"""The last result of a GPU; without it none has run."""
NOTHING_OF_A_GPU = "This was a dry run on a CPU, with tiny networks: it shows nothing of a GPU."


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

    @property
    def size(self) -> int | None:
        """The side of images, None for the one that the weights expect."""
        return 32 if self.is_dry else None

    @property
    def limits(self) -> list[str]:
        """Sentences about the lines that were not shown."""
        named = [f"Not shown: {row['title']}: {row['figure']}." for row in self.rows if row.get("missing")]
        return [NOTHING_OF_A_GPU, *named] if self.is_dry else named

    def tell(self, title: str, figure: str, *, holds: bool | None = None, **numbers: Any) -> None:
        """Add a row and write everything anew."""
        row = {"part": self.part, "title": title, "figure": figure, "holds": holds, **numbers}
        self.rows.append(row)
        verdict = {None: "", True: "  holds", False: "  DOES NOT HOLD"}[holds]
        print(f"{self.part:<12} {title:<44} {figure}{verdict}", flush=True)
        self.write()

    def not_shown(self, title: str, because: str) -> None:
        """Add a row for a line that this device, or the time, does not allow to show."""
        self.tell(title, because, missing=True)

    def write(self) -> None:
        about = {"device": name_of(self.device), "date": str(date.today()), "versions": versions()}
        result = {**about, "rows": self.rows, "limits": self.limits}
        self.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        self.out.with_suffix(".md").write_text(
            "\n".join([", ".join(about.values()), "", *table(self.rows), "", *self.limits]) + "\n"
        )

    def finetune(self, name: str, callback: NullCallback | None = None, **settings: Any) -> zoo_core.Result:
        """Train into a new folder."""
        config = zoo_core.FinetuneConfig(out=str(self.folder / name), **settings)
        return zoo_core.finetune(config, callback=callback or NullCallback())

    def photos(self, train: int, val: int = 64) -> str:
        """JPEGs of 500 x 375 pixels."""
        if self.is_dry:
            train, val = 32, 4
        root = self.folder / f"photos-{train}"
        if self.is_dry:
            make_photos(root, train=train, val=val)
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


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows as lines of Markdown. Those of a speed hold or fail nothing."""
    words = {None: "", True: "yes", False: "**no**"}
    lines = [f"| {row['part']} | {row['title']} | {row['figure']} | {words[row['holds']]} |" for row in rows]
    return ["| part | case | figure | holds |", "|---|---|---|---|", *lines]


def last_run(file: Path = LAST) -> str:
    """The date and the device of the last run of the checks, for a sentence."""
    if not file.is_file():
        return "not yet run on a GPU"
    result = json.loads(file.read_text(encoding="utf-8"))
    return f"last run on {result['date']}, on {result['device']}"


def name_of(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(torch.device(device))
    return "CPU, a dry run" if device == "cpu" else f"{kind_of(torch.device(device)).title}, {platform.platform()}"


def versions() -> str:
    return environment("torch", "torchvision", "timm")
