"""A step that the compiler cannot take, or can no longer take, is computed without it, and the run goes on.

Seen to fail: a backward graph that cannot be compiled ended the run, and so did memory that was short in a compiled training;
`--compile on --gradient-checkpointing` was traced, refused by the compiler, and recorded as compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from training.test_step import TINY, trained

from survive.support import weights_of
from survive.test_numbers import Hearing
from zoo_core.catalog import Catalog
from zoo_core.runs.directory import read_metrics
from zoo_core.training import autotune, compiling
from zoo_core.training.job import prepare
from zoo_core.training.memory import MemoryPolicy
from zoo_core.training.train_step import Batch, TrainStep

COMPILED = replace(TINY, compile="on", head="linear:dropout=0.5")
RECOMPUTED = (
    "out of memory: turning on gradient checkpointing (--gradient-checkpointing), "
    "which takes time and changes no result"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def test_a_backward_graph_that_cannot_be_compiled_costs_one_step(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is compiled in the first backward pass, when statistics have moved and dropout has drawn."""

    def plain(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        return graph.forward

    def failing(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        raise RuntimeError("no kernel for the backward graph\nat length")

    trained(replace(COMPILED, compile="off"), photos, tmp_path / "plain", catalog)
    monkeypatch.setattr(compiling, "BACKEND", aot_autograd(fw_compiler=plain, bw_compiler=failing))
    hearing = Hearing()
    trained(COMPILED, photos, tmp_path / "run", catalog, hearing)
    (said,) = [text for text in hearing.said if "cannot be compiled" in text]
    assert said.startswith("the trainable layers cannot be compiled here and run without: ")
    assert weights_of(tmp_path / "plain") == weights_of(tmp_path / "run")


def test_a_later_step_that_fails_in_the_compiler_is_computed_without_it(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def compile(network: nn.Module, **settings: object) -> Callable[[Tensor], Tensor]:
        def call(inputs: Tensor) -> Tensor:
            calls.append(len(inputs))
            outputs: Tensor = network(inputs)
            if len(calls) == 2:
                raise ValueError("traced again, in vain")
            return outputs

        return call

    trained(replace(COMPILED, compile="off"), photos, tmp_path / "plain", catalog)
    monkeypatch.setattr(torch, "compile", compile)
    hearing = Hearing()
    trained(COMPILED, photos, tmp_path / "run", catalog, hearing)
    assert calls == [8, 8]
    assert "the trainable layers cannot be compiled here and run without: traced again, in vain" in hearing.said
    assert weights_of(tmp_path / "plain") == weights_of(tmp_path / "run")


def test_an_error_that_the_compiler_does_not_make_is_raised(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(step: TrainStep, batch: Batch, *, alone: bool = False) -> Tensor:
        raise KeyError("a plugin's own")

    monkeypatch.setattr(TrainStep, "accumulate_gradients", failing)
    monkeypatch.setattr(torch, "compile", lambda network, **settings: network)
    with pytest.raises(KeyError, match="a plugin's own"):
        trained(COMPILED, photos, tmp_path / "run", catalog)


def test_short_memory_in_a_compiled_training_leaves_the_compiler(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler cannot take gradient checkpointing, to which short memory leads."""
    steps: list[Batch] = []
    real = TrainStep.accumulate_gradients

    def short_once(step: TrainStep, batch: Batch, *, alone: bool = False) -> Tensor:
        steps.append(batch)
        if len(steps) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(step, batch, alone=alone)

    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    trained(replace(COMPILED, compile="off"), photos, tmp_path / "plain", catalog)
    monkeypatch.setattr(TrainStep, "accumulate_gradients", short_once)
    hearing = Hearing()
    trained(COMPILED, photos, tmp_path / "run", catalog, hearing)
    assert f"{RECOMPUTED}, and leaving the compiler" in hearing.said
    assert not any("cannot be compiled" in text for text in hearing.said)
    for one, other in zip(read_metrics(tmp_path / "plain"), read_metrics(tmp_path / "run"), strict=True):
        assert one.get("train_loss", 0) == pytest.approx(other.get("train_loss", 0), rel=1e-4)


@pytest.mark.parametrize("asked", ["on", "auto"])
def test_stages_that_are_computed_again_are_not_compiled(
    asked: Any, photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autotune, "compiling_pays", lambda *_: True)
    monkeypatch.setattr(torch, "compile", lambda network, **settings: pytest.fail("it was compiled"))
    config = replace(TINY, backbone="resnet18", compile=asked, gradient_checkpointing=True, tiles="frozen")
    job = prepare(replace(config, data=str(photos)), catalog)
    note = "--compile has no effect: stages that are computed again (--gradient-checkpointing) are not compiled."
    assert (note in job.notes) == (asked == "on")
    if asked == "auto":
        assert job.settings.compile == "off"
        assert job.settings.reasons["compile"] == "stages that are computed again are not compiled"
    trained(config, photos, tmp_path / "run", catalog)


def test_a_lost_partner_is_no_fault_of_the_compiler() -> None:
    """Seen to fail: the step was computed again, for a process that has gone."""
    lost = RuntimeError("[gloo] Connection closed by peer")
    world = SimpleNamespace(size=2, is_lost=lambda error: error is lost)
    step: Any = SimpleNamespace(world=world, leave_compiler=lambda: True)
    policy = MemoryPolicy.__new__(MemoryPolicy)
    policy.step, policy.message = step, pytest.fail
    with pytest.raises(RuntimeError, match="Connection closed"):
        policy._change_for(lost, 8, alone=False)
