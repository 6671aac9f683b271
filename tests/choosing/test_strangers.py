"""Runs of other images, weights or versions than the rest of a comparison, with facts that are made by hand."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from zoo_core.choosing.grid import Cell, make_grid
from zoo_core.choosing.strangers import strangers
from zoo_core.data.arrange import arranged
from zoo_core.data.sources import Part, Source
from zoo_core.runs.directory import Run


@dataclass(frozen=True)
class Named:
    """Twenty images that are their names."""

    prefix: str

    def __len__(self) -> int:
        return 20

    def name(self, index: int) -> str:
        return f"{self.prefix}{index}.png"

    def digest(self, index: int) -> bytes:
        return sha256(self.name(index).encode()).digest()


def photos(prefix: str = "") -> Source:
    return Source("photos", ("a", "b"), {"train": Part(Named(prefix), np.arange(20) % 2)})  # type: ignore[arg-type]


def run(cell: Cell, number: int, source: Source, **facts: Any) -> tuple[Cell, Run]:
    provided = SimpleNamespace(name="net", distribution="zoo-x", version="1")
    digests = {name: part.digest() for name, part in arranged(source, cell.config).parts.items()}
    made = {
        "created": str(number),
        "torch": "2",
        "zoo_core": "0.2",
        "backbone": provided,
        "head": provided,
        "strategy": provided,
        "start": SimpleNamespace(sha256="ab"),
        "config": cell.config,
        "data": SimpleNamespace(digests=digests),
    }
    return cell, Run(Path(f"c/{number}"), SimpleNamespace(**made | facts))  # type: ignore[arg-type]


CELLS = make_grid({"backbone": "a"}, {"head": ("x", "y")}, folds=2, shares=(0.5, 1.0)).cells[:4]


def test_runs_of_the_same_images_weights_and_versions_belong_together() -> None:
    assert not strangers([run(cell, number, photos()) for number, cell in enumerate(CELLS)], photos())


@pytest.mark.parametrize(
    ("source", "facts", "told"),
    [
        (photos("other"), {}, "trained on other images than today's"),
        (photos(), {"torch": "1"}, "trained with another version of torch than the newest run"),
        (photos(), {"zoo_core": "0.3"}, "another version of zoo-core"),
        (photos(), {"head": SimpleNamespace(distribution="zoo-y", version="0")}, "another version of zoo-y"),
        (photos(), {"start": SimpleNamespace(sha256="cd")}, "another version of the weights 'default' of net"),
    ],
)
def test_runs_of_others_are_named(source: Source, facts: dict[str, Any], told: str) -> None:
    runs = [run(cell, number, photos()) for number, cell in enumerate(CELLS)]
    if "head" in facts:
        runs[3] = run(CELLS[3], 3, photos(), head=SimpleNamespace(distribution="zoo-y", version="1"))
    runs[1] = run(CELLS[1], 1, source, **facts)
    (sentence,) = strangers(runs, photos())
    assert told in sentence
    assert sentence.endswith(": remove c/1 and give the command again.")
