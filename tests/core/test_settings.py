"""Each setting is declared once, and everything else follows from its declaration."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from zoo_core.errors import UsageError
from zoo_core.settings import FinetuneConfig, read_settings
from zoo_core.settings.fields import DataInMemory, settings_of

SETTINGS = settings_of(FinetuneConfig)


def test_every_field_is_a_declared_setting_with_a_group_and_a_sentence_of_help() -> None:
    assert list(SETTINGS) == [field.name for field in fields(FinetuneConfig)]
    for one in SETTINGS.values():
        assert one.group
        assert one.help.endswith(".")
        assert one.default_text


def test_the_ten_settings_that_most_people_need_come_first() -> None:
    first = next(iter(SETTINGS.values())).group
    assert [one.name for one in SETTINGS.values() if one.group == first] == list(SETTINGS)[:10]


def test_every_default_is_a_value_that_the_setting_accepts() -> None:
    for one in SETTINGS.values():
        assert one.required or one.check(one.default) == one.default


@pytest.mark.parametrize("name", [name for name, one in SETTINGS.items() if one.optional or "auto" in one.words])
def test_a_setting_that_may_be_left_open_says_how_it_is_decided(name: str) -> None:
    assert SETTINGS[name].chosen


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_checked_at_birth_by_its_declaration(name: str) -> None:
    wrong = [object(), float("nan")]
    declared = SETTINGS[name]
    wrong += [["x"]] if DataInMemory not in declared.types else [b"x"]
    wrong += [bound - 1 for bound in (declared.at_least, declared.above) if bound is not None]
    wrong += [declared.above] if declared.above is not None else []
    wrong += [declared.at_most + 1] if declared.at_most is not None else []
    wrong += ["nonsense"] if str not in declared.types else [3]
    wrong += [True] if not declared.is_flag else [1]
    for value in wrong:
        with pytest.raises(UsageError, match=f"^{name} must be {declared.accepts}, got "):
            FinetuneConfig(**{"backbone": "x", name: value})


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("epochs", 0, "epochs must be a whole number of at least 1 and at most 10000, got 0."),
        ("lr", 0.0, "lr must be a number above 0 and at most 100, or auto, got 0.0."),
        ("lr", float("nan"), "lr must be a number above 0"),
        ("val_share", 0.95, "val_share must be a number of at least 0 and at most 0.9"),
        ("epochs", "3", "epochs must be a whole number of at least 1 and at most 10000, got '3'."),
        ("optimizer", "adamW", "optimizer must be one of adamw, sgd, got 'adamW'. Did you mean 'adamw'?"),
        ("augment", 3, "augment must be a text or a function of an image and a random.Random, or auto, got 3"),
        ("gradient_checkpointing", 1, "gradient_checkpointing must be true or false, got 1."),
    ],
)
def test_a_wrong_setting_is_refused_with_the_values_that_there_are(setting: str, value: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        FinetuneConfig(backbone="x", **{setting: value})
    assert message in str(caught.value)


def test_paths_and_numbers_of_numpy_become_plain_data() -> None:
    config = FinetuneConfig(backbone="x", out=Path("runs/x"), epochs=np.int64(3), lr=np.float32(0.5), ema=0)
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()
    assert (config.out, config.epochs, config.lr, config.ema) == ("runs/x", 3, 0.5, 0)


def test_a_config_is_the_same_after_json_and_back() -> None:
    config = FinetuneConfig(backbone="resnet50", strategy="last:2", lr=3e-4, size=64, out="runs/x")
    assert FinetuneConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"backbone": "x", "epoch": 3}, "no setting 'epoch'. Did you mean 'epochs'?"),
        ({"epochs": 3}, "needs the setting 'backbone'"),
        ({"backbone": "x", "epochs": "3"}, "epochs must be a whole number of at least 1 and at most 10000, got '3'"),
        ({"backbone": "x", "epochs": True}, "got True"),
        ({"backbone": ["x"]}, "backbone must be a text, got ['x']"),
        ({"backbone": "x", "views": 3, "cached-views": 3}, "gives the setting 'views' twice"),
    ],
)
def test_data_that_is_no_config_is_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        FinetuneConfig.from_dict(data)
    assert message in str(caught.value)


def test_a_config_file_may_spell_a_setting_as_field_or_option_and_as_before(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('backbone = "x"\nbatch-size = "auto"\nweight_decay = 1\nimage-size = 64\nviews = 2\n')
    config = FinetuneConfig.from_dict(read_settings(file))
    assert config == FinetuneConfig(backbone="x", batch_size="auto", weight_decay=1, size=64, views=2)
    assert FinetuneConfig.from_dict({"backbone": "x", "cached_views": 2}) == FinetuneConfig(backbone="x", views=2)


def test_a_runs_own_config_is_read_without_its_directory(tmp_path: Path) -> None:
    config = FinetuneConfig(backbone="x", epochs=3, out="runs/x")
    (tmp_path / "config.json").write_text(json.dumps({"format": "zoo-run", "version": 1, "config": config.to_dict()}))
    for path in (tmp_path, tmp_path / "config.json"):
        assert FinetuneConfig.from_dict(read_settings(path)) == FinetuneConfig(backbone="x", epochs=3)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.toml", "epochs = ", "run.toml cannot be read as TOML"),
        ("run.json", "{", "run.json cannot be read as JSON"),
        ("run.json", "[1]", "run.json holds no settings by name"),
        ("run.toml", "epoch = 1", "no setting 'epoch'. Did you mean 'epochs'?"),
        ("run.toml", "[data]\nx = 1", "data must be a text, got {'x': 1}"),
        ("", "", "there is no config file"),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = tmp_path / (name or "none.toml")
    if name:
        file.write_text(text)
    with pytest.raises(UsageError) as caught:
        FinetuneConfig.from_dict({"backbone": "x", **read_settings(file)})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "before"), [("best_epoch", "highest"), ("step_layout", "channels-last:8"), ("tiles", "frozen")]
)
def test_the_config_of_an_earlier_version_means_its_rules(tmp_path: Path, name: str, before: str) -> None:
    """Its runs are resumed and repeated as they were trained, not by the rules of today."""
    assert SETTINGS[name].default != before
    config = {key: value for key, value in FinetuneConfig(backbone="x").to_dict().items() if key != name}
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"format": 1, "config": config}))
    assert read_settings(file)[name] == before
    file.write_text(json.dumps(config))  # a config file of today's
    assert name not in read_settings(file)


def test_a_config_file_may_begin_with_the_mark_of_an_editor(tmp_path: Path) -> None:
    """Seen to fail: "Invalid statement (at line 1, column 1)"."""
    file = tmp_path / "run.toml"
    file.write_text('backbone = "x"\nepochs = 1\n', encoding="utf-8-sig")
    assert FinetuneConfig.from_dict(read_settings(file)) == FinetuneConfig(backbone="x", epochs=1)
