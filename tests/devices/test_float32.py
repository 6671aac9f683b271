"""All that is not a training step computes float32 as it is, and leaves the program's own settings as they were.

Seen to fail: evaluations and cached features took the rounded numbers that torch and programs allow (TF32), and a program that
had said so by torch's present settings could cache nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo_core
from helpers import make_photos
from zoo_core.devices.kinds import KINDS
from zoo_core.devices.precision import exact_float32
from zoo_core.frozen.split import FrozenPrefix, Tail
from zoo_core.model.assemble import Model

BACKENDS: Any = torch.backends
SETTINGS = {name: kind.float32_operations for name, kind in KINDS.items()}


def values(device: str) -> list[str]:
    return [one.fp32_precision for one in SETTINGS[device]]


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    own = [(one, one.fp32_precision) for operations in SETTINGS.values() for one in operations]
    yield
    BACKENDS.fp32_precision = "none"
    for operation, value in own:
        operation.fp32_precision = value


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos", count=6)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("allowed", ["none", "tf32"])
def test_a_device_computes_float32_exactly_and_then_as_before(device: str, allowed: str) -> None:
    BACKENDS.fp32_precision = allowed
    before = values(device)
    with exact_float32(torch.device(device)):
        assert not {"tf32", "bf16"} & set(values(device))
        with exact_float32(torch.device(device)):
            assert not {"tf32", "bf16"} & set(values(device))
        assert not {"tf32", "bf16"} & set(values(device))
    assert values(device) == before
    BACKENDS.fp32_precision = "none"
    assert values("cpu") == ["none"] * 3, "they no longer follow the setting of all"


def test_whoever_leaves_first_leaves_the_others_exact() -> None:
    """As requests of a server, which answers in threads. Seen to fail: the first put back the settings of all."""
    BACKENDS.fp32_precision = "tf32"
    first, second = (exact_float32(torch.device("cpu")) for _ in range(2))
    with ExitStack() as stack:
        first.__enter__()
        stack.enter_context(second)
        first.__exit__(None, None, None)
        assert values("cpu") == ["ieee"] * 3
    assert "tf32" in values("cpu")


def test_everything_but_a_training_step_is_exact(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BACKENDS.fp32_precision = "tf32"  # as a program allows for all of its own
    found: dict[str, set[str]] = {}

    def noting(network: type[torch.nn.Module]) -> None:
        forward = network.forward

        def noted(self: torch.nn.Module, *inputs: Any) -> Any:
            kind = "step" if network is Tail and torch.is_grad_enabled() else network.__name__
            found.setdefault(kind, set()).update(values("cpu"))
            return forward(self, *inputs)

        monkeypatch.setattr(network, "forward", noted)

    for network in (Tail, FrozenPrefix, Model):
        noting(network)
    config = zoo_core.FinetuneConfig(
        backbone="lenet5", data=str(photos), epochs=1, strategy="last:1", out=str(tmp_path / "run"), compile="off"
    )
    run = zoo_core.finetune(config).directory
    zoo_core.load(run).predict(sorted(photos.rglob("*.jpg"))[:2])
    zoo_core.features("lenet5", str(photos))
    assert found == {"step": {"tf32"}, "Tail": {"ieee"}, "FrozenPrefix": {"ieee"}, "Model": {"ieee"}}
    assert values("cpu") == ["tf32"] * 3
