"""Checkpoints of a run, with hashes that fit: a stranger's run directory may hold any."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fuzz.mutations import damaged_header, damaged_json
from fuzz.target import Case, expect, fresh, target
from zoo_core.devices.world import World
from zoo_core.freezing.plan import Plan
from zoo_core.model.assemble import Model
from zoo_core.model.chain import Chain
from zoo_core.runs.epochs import EpochReport
from zoo_core.tasks.metrics import ACCURACY
from zoo_core.training.checkpoint import newest_checkpoint, write_checkpoint
from zoo_core.training.regularisers import Ema
from zoo_core.training.trainer_state import TrainerState

PLAN = Plan.from_dict(
    {"stages": ["stem"], "phases": [{"epochs": 3, "rules": [{"lr": 0.5, "statistics": "update"}, {"lr": 1.0}]}]}
)
REPORT = EpochReport(1, 1, 0.01, 1.0, 1.0, 0.5, "accuracy", 1.0)


def _state() -> TrainerState:
    torch.manual_seed(0)
    model = Model(Chain({"stem": nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))}), nn.Linear(2, 2))
    return TrainerState(
        model,
        PLAN,
        World(),
        torch.device("cpu"),
        10,
        "0 views after stage none",
        None,
        0.01,
        Ema(model, PLAN, 0.9),
        ACCURACY,
    )


def _train(state: TrainerState) -> None:
    optimizer = torch.optim.AdamW(state.model.parameters(), fused=True)
    state.use_optimizer(optimizer, has_stepped=not state.is_at_start)
    state.model(torch.ones(4, 3)).square().sum().backward()
    optimizer.step()


def _case(folder: Path, file: str, damage: Any) -> Case:
    """A training goes on from exactly the state in the checkpoint, or does not go on."""
    state = _state()
    _train(state)
    state.end_epoch(REPORT)
    state.step, state.loss_sum = 2, 0.5
    write_checkpoint(folder, 12, state.state_dict())
    checkpoint = folder / "checkpoints" / "0000000012"
    good = {name: (checkpoint / name).read_bytes() for name in ("state.json", "tensors.safetensors")}
    shutil.rmtree(checkpoint)

    def check(content: bytes) -> None:
        checkpoint.mkdir(exist_ok=True)
        files = {**good, file: content}
        digest = hashlib.sha256(files["tensors.safetensors"]).hexdigest()
        if file != "state.json":
            files["state.json"] = json.dumps({**json.loads(good["state.json"]), "sha256": digest}).encode()
        for name, whole in files.items():
            fresh(checkpoint / name, whole)
        found = newest_checkpoint(folder, clean=False)
        assert found is not None
        state = _state()
        state.load_state_dict(found)
        own = state.state_dict()
        expect({name: found.state[name] for name in own.state} == own.state, "another position than the checkpoint's")
        _check_equal(found.tensors, own.tensors)
        _train(state)

    return Case((good[file],), check, damage)


def _check_equal(written: Mapping[str, Tensor], read: Mapping[str, Tensor]) -> None:
    expect(written.keys() == read.keys(), "other tensors than the checkpoint's")
    for name in (name for name in written if not name.startswith("random")):  # of which torch heeds not every byte
        tensor = written[name]
        same = tensor.dtype == read[name].dtype and torch.equal(_bits(tensor), _bits(read[name]))
        expect(same, f"{name} is not that of the checkpoint")


def _bits(tensor: Tensor) -> Tensor:
    """The bytes, in which NaN is equal to itself."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


@target("checkpoint state", weight=2)
def checkpoint_state(folder: Path) -> Case:
    return _case(folder, "state.json", damaged_json)


@target("checkpoint tensors", weight=2)
def checkpoint_tensors(folder: Path) -> Case:
    return _case(folder, "tensors.safetensors", damaged_header)
