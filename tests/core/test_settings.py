from __future__ import annotations

import json

import pytest

from zoo_core.errors import UsageError
from zoo_core.settings import FinetuneConfig


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("epochs", 0, "epochs must be at least 1, got 0"),
        ("batch_size", 0, "batch_size must be at least 1, got 0"),
        ("lr", 0.0, "lr must be above 0 and at most 100, got 0.0"),
        ("lr", float("nan"), "lr must be above 0"),
        ("val_share", 0.95, "val_share must be at least 0.01 and at most 0.9"),
        ("size", 0, "size must be at least 1"),
        ("seed", -1, "seed must be at least 0"),
        ("optimizer", "adamW", "Did you mean 'adamw'?"),
        ("augment", "crops", "augment must be one of auto, none, flip, crop-flip"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_at_birth(setting: str, value: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        FinetuneConfig(backbone="x", **{setting: value})
    assert message in str(caught.value)


def test_a_config_is_the_same_after_json_and_back() -> None:
    config = FinetuneConfig(backbone="resnet50", strategy="last:2", lr=3e-4, size=64, out="runs/x")
    assert FinetuneConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"backbone": "x", "epoch": 3}, "no setting 'epoch'. Did you mean 'epochs'?"),
        ({"epochs": 3}, "needs the setting 'backbone'"),
        ({"backbone": "x", "epochs": "3"}, "'epochs' cannot be '3'"),
        ({"backbone": "x", "epochs": True}, "'epochs' cannot be True"),
        ({"backbone": ["x"]}, "'backbone' cannot be"),
    ],
)
def test_data_that_is_no_config_is_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        FinetuneConfig.from_dict(data)
    assert message in str(caught.value)
