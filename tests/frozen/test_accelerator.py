"""A device that computes apart from the processor learns what a CPU learns: its ways are taken here, on a CPU."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import act_as_accelerator, make_photos
from zoo_core.catalog import Catalog
from zoo_core.data import batches
from zoo_core.data.store import Store
from zoo_core.frozen import inputs
from zoo_core.frozen.split import FrozenPrefix
from zoo_core.frozen.storage_types import ON_DISK, as_rows, type_of
from zoo_core.settings import CacheType, FinetuneConfig
from zoo_core.tensors import read_tensors
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.result import Result
from zoo_core.training.run import run_job

SETTINGS = FinetuneConfig(
    backbone="norms",
    precision="float32",
    strategy="head-only",
    weights="none",
    epochs=3,
    batch_size=8,
    size=32,
    augment="none",
    lr=1e-2,
    optimizer="sgd",
)
MEMORY = 10**9


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinetuneConfig:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # sums of several threads differ in their last bits
    return replace(SETTINGS, data=str(make_photos(tmp_path / "photos", count=12)))


def run(config: FinetuneConfig, catalog: Catalog, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setenv("ZOO_CACHE", str(folder / "cache"))
    return run_job(prepare(replace(config, out=str(folder / "run")), catalog), NullCallback())


def losses(result: Result) -> list[float]:
    return [report.train_loss for report in result.trained.epochs]


@pytest.mark.parametrize("memory", [MEMORY, 0], ids=["held", "read in each step"])
@pytest.mark.parametrize("apart", [True, False], ids=["apart", "cpu"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_each_image_and_view_gets_what_was_kept_of_it(
    apart: bool, memory: int, dtype: CacheType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if apart:
        act_as_accelerator(monkeypatch, memory)
    monkeypatch.setattr(inputs, "READ_AT_ONCE", 4)
    keys = [bytes([number] * 16) for number in range(6)]
    with Store(tmp_path, ON_DISK[dtype]) as store:
        store.add(keys, [as_rows(torch.full((1, 2, 3), number, dtype=type_of(dtype)), dtype) for number in range(6)])
        store.commit()
        entries, targets = store.find(keys)[0].reshape(3, 2), np.array([7, 8, 9])
        kept = inputs.CachedFeatures(store, entries, targets, dtype, torch.device("cpu"), (3, 1, 2))
        (two, targets_of_two), (one, target_of_one) = kept.batches([[(0, 1), (2, 0)], [(1, 1)]])
    assert (targets_of_two.tolist(), target_of_one.tolist()) == ([7, 9], [8])
    assert two.shape == (2, 3, 1, 2)
    assert (two.dtype, two[:, 0, 0, 0].tolist(), one[:, 0, 0, 0].tolist()) == (torch.float32, [1, 4], [3])


@pytest.mark.parametrize("memory", [MEMORY, 0], ids=["held", "read in each step"])
@pytest.mark.parametrize("strategy", ["head-only", "last:1", "gradual"])
def test_what_is_kept_gives_the_same_training(
    config: FinetuneConfig,
    strategy: str,
    memory: int,
    tmp_path: Path,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = replace(config, strategy=strategy)
    usual = run(config, catalog, tmp_path / "usual", monkeypatch)
    act_as_accelerator(monkeypatch, memory)
    apart = run(config, catalog, tmp_path / "apart", monkeypatch)
    assert apart.num_computed == usual.num_computed > 0
    weights = read_tensors(apart.directory / "model.safetensors")
    for name, tensor in read_tensors(usual.directory / "model.safetensors").items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-4, atol=1e-5)
    assert losses(apart) == pytest.approx(losses(usual), rel=1e-4)


def test_images_are_read_by_threads_and_only_one_gives_the_device_its_work(
    config: FinetuneConfig, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading: set[str] = set()
    autocast: set[str] = set()
    here, forward = batches.Batches.load_batch, FrozenPrefix.forward

    def noted_here(*arguments: object) -> torch.Tensor:
        reading.add(threading.current_thread().name)
        return here(*arguments)

    def noted_forward(*arguments: object) -> object:
        autocast.add(threading.current_thread().name)
        return forward(*arguments)

    monkeypatch.setattr(batches.Batches, "load_batch", noted_here)
    monkeypatch.setattr(FrozenPrefix, "forward", noted_forward)
    act_as_accelerator(monkeypatch)
    run(replace(config, workers=3), catalog, tmp_path, monkeypatch)
    assert autocast == {"MainThread"}
    assert reading
    assert all(name.startswith("zoo-prefix") for name in reading)


@pytest.mark.parametrize(("memory", "held"), [(MEMORY, True), (0, False)])
def test_features_that_fit_are_given_to_the_device_once(
    config: FinetuneConfig,
    memory: int,
    held: bool,
    tmp_path: Path,
    catalog: Catalog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows: list[int] = []
    read = Store.read

    def noted(store: Store, entries: np.ndarray) -> list[np.ndarray]:
        rows.append(len(entries))
        return read(store, entries)

    act_as_accelerator(monkeypatch, memory)
    run(config, catalog, tmp_path / "first", monkeypatch)
    monkeypatch.setattr(Store, "read", noted)
    job = prepare(replace(config, out=str(tmp_path / "second")), catalog)
    run_job(job, NullCallback())
    train, val = (len(job.source.parts[name]) for name in ("train", "val"))
    measured = config.epochs + 1  # the best epoch is measured once more
    assert sum(rows) == (train + val if held else config.epochs * train + measured * val)


def test_crops_by_chance_are_cut_by_the_device(
    config: FinetuneConfig, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, backbone="lenet5", strategy="full", augment="crop-flip")  # no norms that blow up noise
    usual = run(config, catalog, tmp_path / "usual", monkeypatch)
    act_as_accelerator(monkeypatch)
    apart = run(config, catalog, tmp_path / "apart", monkeypatch)
    assert losses(apart) == pytest.approx(losses(usual), rel=0.002)  # pixels differ by a level of 256 here and there
    assert losses(apart) != losses(usual)
