"""What is published of runs whose task is not classification."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import zoo_core
from helpers import make_table
from zoo_core.catalog import Catalog
from zoo_core.hub.bundle import PublishOptions, build_bundle
from zoo_core.hub.search import _found
from zoo_core.runs.directory import read_run
from zoo_core.settings import FinetuneConfig

NAMES = {"README.md", "config.json", "curves.png", "fitted.safetensors", "images.safetensors", "model.safetensors"}


@pytest.mark.parametrize(
    ("header", "value", "picture", "metric", "pipeline"),
    [
        ("path,tags", "a|b", "precisions.png", "mean_average_precision", "image-classification"),
        ("path,warmth", "1.5", "scatter.png", "r2", None),
    ],
)
def test_the_card_and_the_files_speak_of_the_task(
    catalog: Catalog, tmp_path: Path, header: str, value: str, picture: str, metric: str, pipeline: str | None
) -> None:
    data = make_table(tmp_path / "photos", header, lambda kind, number: value, count=3)
    config = FinetuneConfig(backbone="lenet5", data=str(data), epochs=1, out=str(tmp_path / "run"))
    result = zoo_core.finetune(config, catalog=catalog)
    folder = tmp_path / "bundle"
    folder.mkdir()
    files = build_bundle(read_run(result.directory), "a/b", PublishOptions(dataset="a/photos"), catalog, folder)
    assert files.keys() == NAMES | {picture}
    front = files["README.md"].read_text().removeprefix("---\n").partition("\n---\n")[0]
    metadata = yaml.safe_load(front)
    assert metadata.get("pipeline_tag") == pipeline
    (told,) = metadata["model-index"][0]["results"][0]["metrics"]
    assert (told["type"], told["value"]) == (metric, result.evaluation.score)
    found = _found({"id": "a/b", "cardData": metadata})
    assert (found.metric, found.score, found.accuracy) == (metric, result.evaluation.score, None)
    assert str(tmp_path) not in files["config.json"].read_text()
