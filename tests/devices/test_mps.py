"""An Apple GPU, pretended: no float64, no pinned memory, and no operation on tensors of two devices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pretended import MPS, Pretended, broken, calls, pretended_mps

import zoo_core
from helpers import make_photos
from zoo_core.devices.find import find_device
from zoo_core.devices.world import join_world
from zoo_core.errors import UsageError
from zoo_core.explaining import METHODS
from zoo_core.explaining.explain import explain
from zoo_core.runs.directory import read_metrics


@pytest.fixture
def mps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    with pretended_mps(monkeypatch):
        yield


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos", count=6)


def trained(photos: Path, out: Path, **settings: object) -> Path:
    config = zoo_core.FinetuneConfig(backbone="lenet5", data=str(photos), out=str(out), **{"epochs": 2, **settings})
    return zoo_core.finetune(config).directory


def losses(run: Path) -> list[float]:
    return [line["train_loss"] for line in read_metrics(run) if "train_loss" in line]


@pytest.mark.usefixtures("mps")
def test_a_tensor_on_the_pretended_device_has_its_limits() -> None:
    ones = torch.ones(3).to(MPS)
    assert isinstance(ones, Pretended)
    with pytest.raises(RuntimeError, match="same device"):
        ones + torch.ones(3)
    with pytest.raises(TypeError, match="float64"):
        ones.double()
    with pytest.raises(TypeError, match="numpy"):
        ones.numpy()


@pytest.mark.usefixtures("mps")
@pytest.mark.parametrize(
    "settings",
    [
        {"strategy": "head-only"},
        {"strategy": "last:1"},
        {"strategy": "full", "batch_size": 4, "micro_batch": 2, "mixup": 0.2},
        {"strategy": "head-only", "head": "logreg"},
        {"strategy": "full", "augment": "crop+flip", "balance": "weights", "ema": 0.9},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_training_on_it_gives_the_numbers_of_the_cpu(photos: Path, tmp_path: Path, settings: dict[str, object]) -> None:
    there = trained(photos, tmp_path / "there", device="mps", **settings)
    assert "convolution" in calls or "addmm" in calls, "nothing was computed on the device"
    here = trained(photos, tmp_path / "here", device="cpu", **settings)
    assert losses(there) == pytest.approx(losses(here), rel=1e-3)


@pytest.mark.usefixtures("mps")
def test_auto_takes_it_and_a_run_answers_and_measures_there(photos: Path, tmp_path: Path) -> None:
    assert find_device("auto") == torch.device("mps")
    run = trained(photos, tmp_path / "run")
    images = sorted(photos.rglob("*.jpg"))[:3]
    there, here = (zoo_core.load(run, device=name).predict(images) for name in ("mps", "cpu"))
    for one, other in zip(there, here, strict=True):
        assert dict(one.answers) == pytest.approx(dict(other.answers), abs=1e-5)


@pytest.mark.usefixtures("mps")
@pytest.mark.parametrize("method", METHODS)
def test_it_explains_as_the_cpu_does(photos: Path, tmp_path: Path, method: str) -> None:
    """Seen to fail: the curve of deleted pixels was turned into float64 there, which it has not."""
    run, photo = trained(photos, tmp_path / "run", device="cpu"), sorted(photos.rglob("*.jpg"))[0]
    there, here = (explain(run, photo, method=method, device=name)[0] for name in ("mps", "cpu"))
    assert (there.name, there.at) == (here.name, here.at)
    assert there.deletion is not None
    assert here.deletion is not None
    assert there.deletion.by_map == pytest.approx(here.deletion.by_map, rel=1e-4)


@pytest.mark.usefixtures("mps")
def test_a_network_that_it_computes_otherwise_is_refused_with_the_numbers(photos: Path, tmp_path: Path) -> None:
    broken.add("convolution")
    with pytest.raises(
        UsageError, match=r"an Apple GPU computes lenet5 otherwise than the CPU.*differ by .* %.*--device cpu"
    ):
        trained(photos, tmp_path / "run", device="mps")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("mps")
def test_only_gradients_that_are_wrong_are_enough(photos: Path, tmp_path: Path) -> None:
    broken.add("convolution_backward")
    with pytest.raises(UsageError, match=r"its outputs differ by 0\.0 % and its gradients by"):
        trained(photos, tmp_path / "run", device="mps")


@pytest.mark.usefixtures("mps")
def test_a_network_is_compared_once(photos: Path, tmp_path: Path) -> None:
    trained(photos, tmp_path / "first", device="mps", strategy="full")
    assert len(list((tmp_path / "cache" / "devices").glob("mps-*.json"))) == 1
    broken.add("convolution")  # from now on nobody looks
    assert trained(photos, tmp_path / "second", device="mps", strategy="full").is_dir()


@pytest.mark.usefixtures("mps")
@pytest.mark.parametrize("first", [0, 10**9])
def test_numbers_that_need_float64_are_refused(photos: Path, tmp_path: Path, first: int) -> None:
    """Float32 holds 0 to 11, and not what follows a billion."""
    table = photos / "numbers.csv"
    rows = [f"{path.relative_to(photos)},{first + place}.5" for place, path in enumerate(sorted(photos.rglob("*.jpg")))]
    table.write_text("path,number\n" + "\n".join(rows))
    if not first:
        assert trained(table, tmp_path / "run", device="mps").is_dir()
        return
    with pytest.raises(
        UsageError, match=r"less than float32 can say, and an Apple GPU has no float64\. Use --device cpu"
    ):
        trained(table, tmp_path / "run", device="mps")


@pytest.mark.usefixtures("mps")
def test_processes_do_not_train_together_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="an Apple GPU trains alone"):
        join_world(MPS)


def test_without_one_it_is_said() -> None:
    with pytest.raises(UsageError, match=r"the device 'mps' is not here: 0 MPS devices are visible\. Use --device cpu"):
        find_device("mps")
    with pytest.raises(UsageError, match=r"zoo runs on cpu, cuda, xpu, mps, not on 'meta'"):
        find_device("meta")
