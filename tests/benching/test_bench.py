"""`zoo bench`: every format answers the same images, in turns, and a format that fails is named."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import zoo_core
from docs.test_json import documented, printed
from zoo_core import Catalog, ExporterSpec, FinetuneConfig, Preprocessing
from zoo_core.benching import bench as benching
from zoo_core.benching.measured import Latency
from zoo_core.benching.models import as_run
from zoo_core.cli.main import zoo as command_line
from zoo_core.data.batches import Batches
from zoo_core.data.on_device import normalised
from zoo_core.data.prepared import normalised_array, prepared_content
from zoo_core.data.sources import FolderImages, Part
from zoo_core.discovery import PluginRecord
from zoo_core.errors import UsageError, ZooError

QUICK = ("--seconds", "0.05", "--rounds", "1")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    return zoo_core.finetune(FinetuneConfig(backbone="lenet5", epochs=1, out=str(out))).directory


def failing(path: Path) -> object:
    raise ZooError("no such file can be read here")


def with_exporter(catalog: Catalog, run: str) -> Catalog:
    spec = ExporterSpec(name="other", export="zoo_core.model.torch_export:export", run=run, suffix=".pt2", summary="s")
    return replace(catalog, records=(*catalog.records, PluginRecord("zoo-mine", "1.0", "mine", (spec,))))


def test_formats_are_measured_in_turns_and_the_picture_is_drawn(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benching, "STARTS", 1)
    picture = tmp_path / "bench.png"
    arguments = ["bench", str(run), "--formats", "torch,torch-export", "--price", "3.6", *QUICK, "-o", str(picture)]
    shown = CliRunner().invoke(command_line, [*arguments, "--json"])
    assert shown.exit_code == 0, shown.exception or shown.output
    told = json.loads(shown.stdout)
    assert printed(told) - {"version"} == documented("bench")
    first, second = told["rows"]
    assert (first["format"], second["format"]) == ("torch", "torch-export")
    score = zoo_core.evaluate_run(run, device="cpu").evaluation
    for row in (first, second):
        assert 0 < row["network_ms"] < row["median_ms"] <= row["p95_ms"]
        assert row["batch"] in benching.SIZES
        assert row["cost_per_million"] == pytest.approx(1000 / row["images_per_second"])
        assert 5e7 < row["peak_bytes_alone"] <= row["peak_bytes"] < 5e9
        assert 0.3 < row["start_up_seconds"] < 120
        assert (row["score"], row["images"], row["problem"]) == (score.score, 500, None)
        assert row["score_interval"] == pytest.approx(score.score_interval)
    stored = sum((run / name).stat().st_size for name in ("model.safetensors", "fitted.safetensors"))
    assert first["bytes"] == stored
    assert (told["timed"], told["part"], told["picture"]) == (64, "val", str(picture))
    with Image.open(picture) as drawn:
        assert drawn.size == (990, 572)


def test_a_format_that_fails_is_named_and_the_others_are_measured(
    run: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benching, "STARTS", 0)
    monkeypatch.setattr(benching, "_best_batch", lambda worker, seconds: 1)
    broken = with_exporter(catalog, f"{__name__}:failing")
    found = zoo_core.bench([str(run)], formats=["other"], rounds=1, seconds=0.01, catalog=broken)
    assert [row.problem for row in found.rows] == ["no such file can be read here"]
    assert found.measured == []


def test_wrong_words_are_refused_before_any_work(run: Path, catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="takes one run, or backbones separated by commas"):
        zoo_core.bench([str(run), "lenet5"], catalog=catalog)
    with pytest.raises(UsageError, match="No exporter 'torch-exprot'. Did you mean 'torch-export'"):
        zoo_core.bench([str(run)], formats=["torch", "torch-exprot"], catalog=catalog)
    with pytest.raises(UsageError, match=r"--threads 9999: this process may use \d+ core"):
        zoo_core.bench([str(run)], threads=9999, catalog=catalog)
    error = CliRunner().invoke(command_line, ["bench", str(run), "--formats", "torch,"]).exception
    assert str(error) == "--formats has an empty value in 'torch,'. Separate values by one comma."


def test_a_backbone_is_a_run_with_random_weights_and_made_up_photographs(tmp_path: Path, catalog: Catalog) -> None:
    opened = as_run("resnet18:upto=layer1", tmp_path, catalog)
    assert (opened.name, opened.part_name, len(opened.predictor.classes)) == ("resnet18:upto=layer1", None, 1000)
    with Image.open(next((tmp_path / "made-up").rglob("*.jpg"))) as image:
        assert image.size == (500, 375)


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_images_are_prepared_to_the_bit_as_predict_does(tmp_path: Path, fit: str) -> None:
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 256, (300, 420, 3), np.uint8)).save(tmp_path / "a.jpg")
    how = Preprocessing(size=64, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1), fit=fit)  # type: ignore[arg-type]
    part = Part(FolderImages(tmp_path, ("a.jpg",)), np.zeros(1, np.int64))
    ((pixels_BCHW, _),) = Batches(part, how, 1, 1).in_order()
    square = prepared_content((tmp_path / "a.jpg").read_bytes(), how)
    assert np.array_equal(square, pixels_BCHW[0].permute(1, 2, 0).numpy())
    expected = normalised(pixels_BCHW, how, torch.device("cpu")).numpy()
    assert normalised_array([square], how) == pytest.approx(expected, abs=2e-6)


def test_the_99th_percentile_needs_a_hundred_images() -> None:
    assert Latency.of([0.001] * 99).p99 is None
    many = Latency.of([number / 1000 for number in range(1, 201)])
    assert (many.median, many.p99) == (pytest.approx(100.5), pytest.approx(198.01))


def test_help_says_that_files_run_on_the_cpu() -> None:
    text = CliRunner().invoke(command_line, ["bench", "--help"]).output
    assert "files run on the CPU" in re.sub(r"\s+", " ", text)
