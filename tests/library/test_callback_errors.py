"""An error of a program's callback loses nothing: all that was done is saved, and the error tells how to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import zoo_core
from zoo_core.catalog import Catalog
from zoo_core.paths import sha256_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def config_for(data: Any, out: Path, **settings: Any) -> zoo_core.FinetuneConfig:
    given = {"backbone": "lenet5", "weights": "none", "strategy": "full", "device": "cpu", **settings}
    return zoo_core.FinetuneConfig(data=data, out=str(out), **given)


class Failing(zoo_core.NullCallback):
    """Fails in a method in the second epoch, and counts what it hears of afterwards."""

    def __init__(self, method: str) -> None:
        self.method, self.epochs, self.heard_after = method, 0, 0

    def _heard(self, method: str) -> None:
        if self.epochs >= 1 and method == self.method:
            raise RuntimeError("the web hook is down")

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        self._heard("on_step")

    def on_loss(self, loss: float, lr: float, images_per_second: float) -> None:
        self._heard("on_loss")

    def on_epoch(self, report: Any) -> None:
        self._heard("on_epoch")
        self.epochs += 1


@pytest.mark.parametrize("method", ["on_step", "on_loss", "on_epoch"])
def test_what_was_done_before_a_callback_failed_is_saved(
    method: str, photos: Path, tmp_path: Path, catalog: Catalog
) -> None:
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 4, "save_every": 3600}
    whole = zoo_core.finetune(config_for(str(photos), tmp_path / "whole", **settings), catalog=catalog)
    callback = Failing(method)
    with pytest.raises(RuntimeError, match="^the web hook is down") as failed:
        zoo_core.finetune(config_for(str(photos), tmp_path / "run", **settings), catalog=catalog, callback=callback)
    assert str(failed.value) == "the web hook is down"
    (note,) = failed.value.__notes__
    assert note == f"The training stopped for it; all that was done is saved. Go on with: zoo resume {tmp_path / 'run'}"
    heard: list[str] = []

    class Listening(zoo_core.NullCallback):
        def message(self, text: str) -> None:
            heard.append(text)

    resumed = zoo_core.resume(tmp_path / "run", catalog=catalog, callback=Listening())
    (position,) = [text for text in heard if text.startswith("going on")]
    epoch, step = (3, 0) if method == "on_epoch" else (2, 1)
    assert position.startswith(f"going on in epoch {epoch} after step {step} of")
    assert sha256_of(resumed.directory / "model.safetensors") == sha256_of(whole.directory / "model.safetensors")


def test_the_next_step_of_images_in_memory_is_a_call(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    pairs = [(path, path.parent.name) for path in sorted(photos.glob("*/*.png"))]
    config = config_for(pairs, tmp_path / "run", augment=lambda image, draw: image, epochs=2)
    with pytest.raises(RuntimeError) as failed:
        zoo_core.finetune(config, catalog=catalog, callback=Failing("on_epoch"))
    (note,) = failed.value.__notes__
    assert note.endswith(f"Go on with: zoo_core.resume('{tmp_path / 'run'}', data=..., augment=...)")
    done = zoo_core.resume(tmp_path / "run", data=pairs, augment=config.augment, catalog=catalog)
    assert done.trained.epochs[-1].epoch == 2
