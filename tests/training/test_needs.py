"""No setting is ignored in silence: each one that a run has no use for is named, or refused.

Each was seen to be ignored without a word, but for the five that a solved head refuses.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import zoo_core
from helpers import make_photos
from zoo_core import FinetuneConfig, NullCallback, UsageError
from zoo_core.catalog import Catalog
from zoo_core.settings.fields import settings_of
from zoo_core.settings.needs import Need
from zoo_core.training.job import prepare

SETTINGS = settings_of(FinetuneConfig)
ALWAYS = {
    "backbone": "the network",
    "data": "the images",
    "strategy": "the plan",
    "head": "the network",
    "weights": "the network",
    "size": "the images",
    "fit": "the images",
    "fold": "the images",
    "train_share": "the images",
    "fix_list": "the images",
    "group_by": "the images",
    "from_run": "the initial weights",
    "out": "the place of the run",
    "task": "one that does not fit the data is refused",
    "bad_images": "without bad images both of its values say the same",
    "seed": "the head's initial weights",
    "device": "the place of the work",
    "workers": "every image is decoded at least once",
    "decoding": "every image is decoded at least once",
    "threads": "every training computes",
    "tiles": "every network may have such convolutions",
    "save_every": "a run may be stopped in any step",
    "track": "a tracker follows any training",
}
"""The settings that every run has a use for, and which."""
OTHER: dict[str, Any] = {
    "epochs": 3, "batch_size": 8, "lr": 0.5, "val_share": 0.5, "augment": "flip", "base_lr": 0.3,
    "optimizer": "sgd", "weight_decay": 0.5, "warmup": 0.5, "best_epoch": "highest", "patience": 3,
    "label_smoothing": 0.1, "mixup": 0.1, "cutmix": 0.1, "l2_sp": 0.1, "ema": 0.1, "views": 3,
    "cache_gb": 5.0, "cache_dtype": "float32", "prefix_precision": "bfloat16",
    "precision": "bfloat16", "compile": "on", "micro_batch": 4,
    "gradient_checkpointing": True, "balance": "sampling", "metric": "macro-f1", "loss": "focal",
    "step_layout": "contiguous:8",
}  # fmt: skip
"""A value of each other setting that nobody would choose for it."""
LACKING: dict[Need, dict[str, Any]] = {
    Need.SPLIT: {"data": "parts"},
    Need.STEPS: {"head": "logreg", "strategy": "head-only"},
    Need.VALIDATION: {"val_share": 0.0},
    Need.MEASURED: {"val_share": 0.0},
    Need.VIEWS: {"strategy": "head-only"},
    Need.TRAINED_STAGES: {"strategy": "head-only"},
    Need.KEPT_ACTIVATIONS: {"strategy": "full", "gradient_checkpointing": True},
    Need.TRAINED_WEIGHTS: {"strategy": "head-only"},
    Need.CACHED_FEATURES: {"strategy": "full"},
    Need.CACHE: {"strategy": "full", "epochs": 1},
    Need.MAPS: {"strategy": "head-only"},
}
"""A run that lacks each need; one that has all of them is `WITH_ALL`."""
WITH_ALL = {"strategy": "last:2", "views": 4}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("needs")
    make_photos(root / "photos", count=4)
    for part in ("train", "val"):
        make_photos(root / "parts" / part, count=2, size=40 + len(part))
    return root


def notes(root: Path, catalog: Catalog, given: dict[str, Any]) -> tuple[str, ...]:
    config = FinetuneConfig(backbone="lenet5", weights="none", data=str(root / "photos"))
    data = {"data": str(root / given["data"])} if "data" in given else {}
    found = prepare(replace(config, **{**given, **data}), catalog).notes
    return tuple(note for note in found if note.startswith("--"))


def test_every_setting_names_its_needs_or_has_none() -> None:
    assert {name for name, one in SETTINGS.items() if not (one.needs or one.requires)} == ALWAYS.keys()
    assert OTHER.keys() == SETTINGS.keys() - ALWAYS.keys()
    assert LACKING.keys() == set(Need)


CASES = [(name, need) for name, one in SETTINGS.items() for need in (*one.needs, *one.requires)]


@pytest.mark.parametrize(("name", "need"), CASES, ids=[f"{name}-{need.name}" for name, need in CASES])
def test_a_setting_without_effect_is_named_or_refused(root: Path, catalog: Catalog, name: str, need: Need) -> None:
    given = {**LACKING[need], name: OTHER[name]} | ({"epochs": 1} if need is Need.CACHE else {})
    option = f"--{SETTINGS[name].option}"
    if need in SETTINGS[name].requires:
        with pytest.raises(UsageError, match=f"nothing else is trained: leave out {option}"):
            notes(root, catalog, given)
    else:
        (note,) = [note for note in notes(root, catalog, given) if note.startswith(f"{option} ")]
        assert note in {f"{option} {one.value}." for one in SETTINGS[name].needs}


@pytest.mark.parametrize("lacking", [*LACKING.values(), WITH_ALL])
def test_nothing_is_said_of_settings_that_were_left_alone(
    root: Path, catalog: Catalog, lacking: dict[str, Any]
) -> None:
    assert notes(root, catalog, lacking) == ()


@pytest.mark.parametrize("name", OTHER)
def test_nothing_is_said_of_a_setting_that_has_an_effect(root: Path, catalog: Catalog, name: str) -> None:
    assert notes(root, catalog, {**WITH_ALL, name: OTHER[name]}) == ()


def test_the_sentences_come_before_the_training_and_a_runs_own_config_has_none(
    root: Path, catalog: Catalog, tmp_path: Path
) -> None:
    class Heard(NullCallback):
        def __init__(self) -> None:
            self.messages: list[str] = []

        def message(self, text: str) -> None:
            self.messages.append(text)

    config = FinetuneConfig(
        backbone="lenet5",
        data=str(root / "photos"),
        epochs=1,
        compile="on",
        strategy="head-only",
        out=str(tmp_path / "a"),
    )
    heard = Heard()
    zoo_core.finetune(config, catalog=catalog, callback=heard)
    assert "--compile has no effect: no stage of the backbone is trained." in heard.messages[:2]
    again = zoo_core.settings.read_settings(tmp_path / "a")
    assert notes(root, catalog, {**again, "compile": "auto", "data": "photos"}) == ()
