"""Weights from a file or a repository are used with the preprocessing that stands beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo_core
from helpers import make_photos
from zoo_core.catalog import Catalog
from zoo_core.frozen.split import split_shapes
from zoo_core.model.assemble import build_network
from zoo_core.model.shapes import stage_shapes
from zoo_core.settings import FinetuneConfig
from zoo_core.tensors import write_tensors
from zoo_core.training.job import prepare
from zoo_core.weights.resolve import InitialWeights, resolve_weights
from zoo_core.weights_specs import Preprocessing

RESNET = "resnet18"
TOLD = {"input_size": [3, 160, 160], "crop_pct": 0.95, "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.4] * 3}
WANTED = Preprocessing(size=160, crop=0.95, interpolation="bicubic", mean=(0.5,) * 3, std=(0.4,) * 3)


def weights_beside(folder: Path, catalog: Catalog, config: object, name: str = RESNET) -> InitialWeights:
    """The initial weights of a file that has this config.json beside it."""
    choice = catalog.backbone(name)
    torch.manual_seed(1)
    write_tensors(folder / "model.safetensors", dict(build_network(choice).named_upstream()))
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return resolve_weights(choice, str(folder / "model.safetensors"))


def test_timms_config_beside_a_file_is_used(tmp_path: Path, catalog: Catalog) -> None:
    """Before, the backbone's default was used without a word: bilinear, 0.875, ImageNet's mean."""
    start = weights_beside(tmp_path, catalog, {"architecture": "resnet18", "pretrained_cfg": TOLD})
    assert start.preprocessing == WANTED
    assert start.preprocessing_origin == "that of pretrained_cfg in config.json beside the weights"


@pytest.mark.parametrize(
    "config",
    [
        {},
        [],
        "no JSON",
        {"pretrained_cfg": 5},
        {"pretrained_cfg": {**TOLD, "input_size": [3, 160, 200]}},
        {"pretrained_cfg": {**TOLD, "input_size": [3, 10**9, 10**9]}},
        {"pretrained_cfg": {**TOLD, "interpolation": "lanczos"}},
        {"pretrained_cfg": {**TOLD, "crop_mode": "other"}},
        {"pretrained_cfg": {**TOLD, "crop_pct": 0}},
        {"pretrained_cfg": {**TOLD, "mean": [0.5], "std": [0.5]}},
        {"pretrained_cfg": {**TOLD, "std": [0, 0, 0]}},
        {"format": "zoo-run", "version": 1},
    ],
)
def test_a_config_that_zoo_cannot_use_leaves_the_default_and_is_told(
    tmp_path: Path, catalog: Catalog, config: Any
) -> None:
    start = weights_beside(tmp_path, catalog, config)
    assert start.preprocessing == catalog.backbone(RESNET).spec.preprocessing
    assert str(start.preprocessing_origin).startswith("the default of resnet18: ")


def test_the_weights_of_a_run_are_used_as_the_run_used_them(tmp_path: Path, catalog: Catalog) -> None:
    """Before, 28 x 28 for the file and 40 x 40 for its folder."""
    data = str(make_photos(tmp_path / "photos"))
    first = FinetuneConfig(backbone="lenet5", weights="none", data=data, size=40, epochs=1, out=str(tmp_path / "run"))
    run = zoo_core.finetune(first, catalog=catalog).directory
    choice = catalog.backbone("lenet5")
    by_folder = resolve_weights(choice, str(run))
    by_file = resolve_weights(choice, str(run / "model.safetensors"))
    assert by_file.preprocessing == by_folder.preprocessing != choice.spec.preprocessing
    config = FinetuneConfig(backbone="lenet5", weights=str(run / "model.safetensors"), data=data)
    job = prepare(config, catalog)
    assert job.preprocessing.size == 40
    of_stages = stage_shapes(job.model.backbone, job.preprocessing.channels, 40)
    assert job.shapes == split_shapes(of_stages, job.model.head), "not those of the size that the plugin states"
