"""The images that the ranges of 8-bit integers follow from, and the names of the parts that an
export tells."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import zoo_core
from zoo_core import Catalog, ExporterSpec, NoOptions, bench
from zoo_core.cli.main import zoo as command_line
from zoo_core.discovery import PluginRecord
from zoo_core.exporting.export import export_run
from zoo_core.settings import FinetuneConfig
from zoo_core.testing import make_photos

THIS = __name__
TAKEN: list[Any] = []


def calibrated(
    options: NoOptions, *, network: Any, path: Path, calibration: Callable[[int], Iterator[Any]], **given: Any
) -> None:
    TAKEN[:] = list(calibration(1000))
    torch.save(network, path)


def opened(path: Path) -> Any:
    network = torch.load(path, weights_only=False)
    return lambda images_BCHW: network(torch.from_numpy(images_BCHW)).numpy()


@pytest.fixture
def mine(catalog: Catalog) -> Catalog:
    spec = ExporterSpec(
        name="mine", export=f"{THIS}:calibrated", run=f"{THIS}:opened", suffix=".bin", summary="s", calibrates=True
    )
    return replace(catalog, records=(*catalog.records, PluginRecord("zoo-mine", "1.0", "mine", (spec,))))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run on 24 photos of its own, of which 20 train it; 12 others stand beside them."""
    make_photos(tmp_path / "own", count=12, size=24)
    make_photos(tmp_path / "others", count=6, size=40)
    config = FinetuneConfig(backbone="lenet5", data=str(tmp_path / "own"), epochs=1, out=str(tmp_path / "run"))
    return zoo_core.finetune(config).directory


def mean_of_taken() -> float:
    return float(np.concatenate(TAKEN).mean())


def test_ranges_follow_from_the_runs_own_training_images(run: Path, mine: Catalog, tmp_path: Path) -> None:
    """Seen to fail: they followed from the very images that the file was then checked on."""
    own = export_run(run, "mine", catalog=mine)
    expected = mean_of_taken()
    made = export_run(run, "mine", out=tmp_path / "other.bin", data=str(tmp_path / "others"), catalog=mine)
    assert mean_of_taken() == expected
    assert made.calibration == own.calibration
    assert made.calibration is not None
    assert (made.calibration["part"], made.calibration["problem"]) == ("train", None)
    assert (own.part, made.part, made.images) == ("val", "all", 12), "the images of --data are all of them"


def test_ranges_follow_from_the_given_images_where_the_own_ones_are_gone(
    run: Path, mine: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path / "own")
    made = export_run(run, "mine", data=str(tmp_path / "others"), catalog=mine)
    assert made.calibration is not None
    assert (made.calibration["images"], made.calibration["part"]) == (12, "all")
    assert "own" in made.calibration["problem"]
    monkeypatch.setattr("zoo_core.cli.export.catalog_of", lambda ctx: mine)
    shown = zoo("export", run, "--to", "mine", "-o", tmp_path / "b.bin", "--data", tmp_path / "others")
    assert shown.exit_code == 0, shown.exception
    assert "Ranges follow from 12 images (all)." in shown.stdout
    assert (
        "warning: the ranges of integers follow from images of --data and not from those of the training:"
        in shown.stderr
    )


def zoo(*arguments: object) -> Result:
    return CliRunner().invoke(command_line, [str(one) for one in arguments])


def test_a_measurement_of_formats_names_the_part_as_zoo_evaluate_does(run: Path, tmp_path: Path) -> None:
    """Seen to fail: the images of --data were told as training images."""
    found = bench(str(run), formats=["torch"], data=str(tmp_path / "others"), seconds=0.05, rounds=1)
    assert found.part == "all"
