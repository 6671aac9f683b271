"""A program's own settings and random numbers neither change a training nor are changed by it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zoo_core
from zoo_core.catalog import Catalog
from zoo_core.paths import sha256_of


@pytest.fixture
def trained(photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))

    def train(name: str, callback: zoo_core.Callback | None = None, precision: str = "auto") -> str:
        settings = {"backbone": "lenet5", "head": "mlp:hidden=8,dropout=0.5", "strategy": "full", "epochs": 2}
        config = zoo_core.FinetuneConfig(**settings, precision=precision, data=str(photos), out=str(tmp_path / name))
        run = zoo_core.finetune(config, catalog=catalog, callback=callback or zoo_core.NullCallback()).directory
        return sha256_of(run / "model.safetensors")

    return train


def test_the_programs_random_numbers_go_on_as_if_there_had_been_no_training(trained: Callable[..., str]) -> None:
    torch.manual_seed(5)
    torch.rand(3)
    expected = torch.rand(3)
    torch.manual_seed(5)
    torch.rand(3)
    trained("run")
    assert torch.equal(torch.rand(3), expected)


def test_a_training_in_a_callback_leaves_the_outer_one_as_it_was(trained: Callable[..., str]) -> None:
    class Nested(zoo_core.NullCallback):
        def on_epoch(self, report: Any) -> None:
            trained(f"inner{report.epoch}")

    alone = trained("alone")
    assert trained("outer", Nested()) == alone


def test_a_model_built_in_another_thread_leaves_a_training_as_it_was(
    trained: Callable[..., str], catalog: Catalog
) -> None:
    """Seen to fail: both drew from one stream of random numbers."""
    alone, ended = trained("alone"), threading.Event()

    def build() -> None:
        while not ended.is_set():
            zoo_core.create_model("lenet5", num_classes=3, weights="none", catalog=catalog)

    thread = threading.Thread(target=build)
    thread.start()
    try:
        assert trained("beside") == alone
    finally:
        ended.set()
        thread.join()


SETTINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "float64": nullcontext,
    "another device": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_torch_around_it_change_neither_a_training_nor_its_answers(
    name: str, trained: Callable[..., str], tmp_path: Path, photos: Path, catalog: Catalog
) -> None:
    """Seen to fail: another training in autocast, torch's own error without gradients, and a plugin that was blamed for a
    device that the program had made its default one."""
    photo = photos / "red" / "1.png"
    expected = trained("alone")
    (answer,) = zoo_core.load(tmp_path / "alone", device="cpu", catalog=catalog).predict(photo)
    with SETTINGS[name]():
        torch.set_default_dtype(torch.float64 if name == "float64" else torch.float32)
        try:
            assert trained("within") == expected
            (within,) = zoo_core.load(tmp_path / "within", device="cpu", catalog=catalog).predict(photo)
            assert torch.get_default_dtype() == (torch.float64 if name == "float64" else torch.float32)
        finally:
            torch.set_default_dtype(torch.float32)
    assert within.values == answer.values


def test_a_programs_default_device_changes_no_features(photos: Path, catalog: Catalog) -> None:
    expected = zoo_core.features("lenet5", photos, device="cpu", catalog=catalog)[:]
    with torch.device("meta"):
        assert np.array_equal(zoo_core.features("lenet5", photos, device="cpu", catalog=catalog)[:], expected)
        assert torch.get_default_device().type == "meta"


def test_a_training_in_bfloat16_is_the_same_within_a_programs_own_context(trained: Callable[..., str]) -> None:
    """Seen to fail: torch kept the converted weights of the first step until the program's context ended."""
    expected = trained("alone", precision="bfloat16")
    with torch.autocast("cpu", torch.bfloat16):
        assert trained("within", precision="bfloat16") == expected
    assert trained("float32", precision="float32") != expected


def test_a_failing_connection_of_a_callback_is_not_blamed_on_the_disk(trained: Callable[..., str]) -> None:
    class Hook(zoo_core.NullCallback):
        def on_epoch(self, report: object) -> None:
            raise ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(ConnectionRefusedError):
        trained("run", Hook())


def test_the_best_epoch_of_a_result_is_marked(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    config = zoo_core.FinetuneConfig(
        backbone="lenet5", data=str(photos), strategy="full", epochs=3, out=str(tmp_path / "run"), weights="none"
    )
    found = zoo_core.finetune(config, catalog=catalog, callback=zoo_core.NullCallback()).trained
    assert [one.epoch for one in found.epochs if one.is_best] == [found.best]


def test_what_a_notebook_shows_of_a_catalog_and_a_result_fits_a_line(
    photos: Path, tmp_path: Path, catalog: Catalog
) -> None:
    config = zoo_core.FinetuneConfig(backbone="lenet5", data=str(photos), epochs=1, out=str(tmp_path / "run"))
    result = zoo_core.finetune(config, catalog=catalog, callback=zoo_core.NullCallback())
    assert len(repr(catalog)) < 100
    assert "measured" not in repr(result)
