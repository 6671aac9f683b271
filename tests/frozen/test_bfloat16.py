"""Features of training images that the prefix computes in bfloat16, on request.

Seen to fail: with one folder for features of both kinds; with validation features in bfloat16.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import make_photos
from zoo_core.catalog import Catalog
from zoo_core.devices.kinds import Kind
from zoo_core.frozen import bfloat16
from zoo_core.frozen.inputs import CachedFeatures
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.words import PrefixPrecision
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.run import run_job
from zoo_core.training.setup import make_planner

BASE = FinetuneConfig(
    backbone="norms", weights="none", strategy="last:1", epochs=2, size=32, augment="none", lr=1e-2, views=1
)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinetuneConfig:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return replace(BASE, data=str(make_photos(tmp_path / "photos", count=12)))


def features(config: FinetuneConfig, catalog: Catalog) -> tuple[list[bytes], list[bytes], int]:
    """The features of training and of validation images, and the number of images that were computed for them."""
    job = prepare(config, catalog)
    planner = make_planner(job, job.world, lambda text: None)
    try:
        phase = planner.enter(0, lambda done, total: None)
        assert isinstance(phase.train, CachedFeatures)
        assert isinstance(phase.val, CachedFeatures)
        train, val = (
            [one.store.read(one.entries[[place], 0])[0].tobytes() for place in range(len(one.entries))]
            for one in (phase.train, phase.val)
        )
        return train, val, planner.num_computed
    finally:
        planner.close()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_training_features_alone_are_computed_in_bfloat16_and_cached_apart(
    dtype: str, config: FinetuneConfig, catalog: Catalog
) -> None:
    config = replace(config, cache_dtype=dtype)
    usual, val, computed = features(config, catalog)
    other = replace(config, prefix_precision="bfloat16")
    train, val_beside, computed_beside = features(other, catalog)
    numbers = [np.frombuffer(b"".join(one), dtype).astype(np.float32) for one in (usual, train)]
    distance = np.linalg.norm(numbers[0] - numbers[1]) / np.linalg.norm(numbers[0])
    assert 1e-4 < distance < 0.02
    assert val_beside == val
    assert (computed, computed_beside) == (len(usual) + len(val), len(train))
    assert features(config, catalog) == (usual, val, 0)
    assert features(other, catalog) == (train, val, 0)


def test_an_unknown_type_is_refused(config: FinetuneConfig) -> None:
    with pytest.raises(Exception, match="prefix_precision must be one of float32, bfloat16, got 'float16'"):
        replace(config, prefix_precision="float16")


@pytest.mark.parametrize(
    ("changes", "units", "gain", "expected"),
    [
        ({}, True, 2.0, True),
        ({}, True, 1.1, False),
        ({}, False, 2.0, False),
        ({"prefix_precision": "bfloat16"}, True, 2.0, False),
        ({"LONG": 10.0}, True, 2.0, False),
        ({"MOST": 0.01, "LONG": 0.05}, True, 2.0, False),
    ],
    ids=["told", "hardly faster", "no units", "taken already", "short", "too slow for a trial"],
)
def test_a_run_whose_features_take_long_says_what_bfloat16_would_save(
    changes: dict[str, object],
    units: bool,
    gain: float,
    expected: bool,
    config: FinetuneConfig,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two images take 0.1 s in float32, and all 16 with one worker 0.8 s."""
    clock = 0.0

    def computed(precision: PrefixPrecision, device: torch.device) -> object:
        nonlocal clock
        clock += 0.1 if precision == "float32" else 0.1 / gain
        return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")

    monkeypatch.setattr(Kind, "has_bfloat16_units", units)
    monkeypatch.setattr(bfloat16, "LONG", changes.pop("LONG", 0.5))
    monkeypatch.setattr(bfloat16, "MOST", changes.pop("MOST", 0.3))
    monkeypatch.setattr(bfloat16, "CLOCK", lambda: clock)
    monkeypatch.setattr(bfloat16, "autocast", computed)
    heard: list[str] = []
    job = prepare(replace(config, workers=1, **changes), catalog)
    threads = torch.get_num_threads()
    planner = make_planner(job, job.world, heard.append)
    planner.enter(0, lambda done, total: None)
    planner.close()
    told = (
        "--prefix-precision bfloat16 computes these features 2.0 times as fast here, with other numbers than float32."
    )
    assert heard == ([told] if expected else [])
    assert torch.get_num_threads() == threads


def test_a_trial_changes_no_feature(config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    untried = features(config, catalog)
    monkeypatch.setattr(bfloat16, "LONG", 0.0)
    monkeypatch.setenv("ZOO_CACHE", str(Path("elsewhere").resolve()))
    assert features(config, catalog) == untried


def test_a_run_records_it(config: FinetuneConfig, catalog: Catalog) -> None:
    result = run_job(prepare(replace(config, prefix_precision="bfloat16"), catalog), NullCallback())
    assert "prefix-precision bfloat16" in (result.directory / "README.md").read_text()
    assert '"prefix_precision": "bfloat16"' in (result.directory / "config.json").read_text()
