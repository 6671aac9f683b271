"""Row 5: whatever learns, and wherever it is interrupted, the run goes on and ends with the same bytes.

Each run is stopped once in each phase of its plan, in the middle of an epoch and between two, by the wish that a signal
makes. Seen to fail: without the optimizer's state, the random numbers or the summed loss in the checkpoint, or with the
newest weights in it in place of the best.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers import make_photos
from survive.support import history_of, weights_of
from zoo_core.catalog import Catalog
from zoo_core.config import FinetuneConfig
from zoo_core.data.batches import training_steps
from zoo_core.training import run as running
from zoo_core.training.interrupt import Interrupted, Wish
from zoo_core.training.job import prepare
from zoo_core.training.run import Result, resume, run_job
from zoo_core.training.watcher import Silent, Watcher

LENET = FinetuneConfig(
    backbone="lenet5", head="mlp:hidden=8,dropout=0.5", epochs=4, batch_size=5, micro_batch=2, seed=2
)
RESNET = replace(LENET, backbone="resnet18", weights="none", size=32, epochs=2, batch_size=6)
CASES = {
    "head-only": replace(LENET, strategy="head-only"),
    "last:1": replace(LENET, strategy="last:1", views=0),
    "first:1": replace(LENET, strategy="first:1"),
    "full": replace(LENET, strategy="full", optimizer="sgd", lr=1e-3),
    "gradual": replace(LENET, strategy="gradual", augment="none"),
    "lp-ft": replace(LENET, strategy="lp-ft", optimizer="sgd", lr=1e-3),
    "layerwise": replace(LENET, strategy="layerwise"),
    "bias-only": replace(LENET, strategy="bias-only"),
    "patience": replace(LENET, strategy="lp-ft", epochs=6, patience=1),
    "test-part": replace(LENET, strategy="lp-ft", val_share=0.3),
    "norms learn": replace(RESNET, strategy="last:1"),
    "norm-only": replace(RESNET, strategy="norm-only"),
    "frozen statistics": replace(RESNET, strategy="last:2,statistics=frozen", augment="none", optimizer="sgd"),
    "gradual norms": replace(RESNET, strategy="gradual", epochs=3, cache_dtype="float32"),
    "lora": replace(RESNET, strategy="lora"),
    "averages and mixtures": replace(LENET, strategy="lp-ft", ema=0.9, mixup=0.4, cutmix=1.0, l2_sp=0.1),
    "range test": replace(LENET, strategy="lp-ft", lr="auto"),
    "solved, then trained": replace(LENET, strategy="last:1", head="solved"),
}


class Stopping(Silent):
    """Wishes to stop after a step, counted from the beginning of the run."""

    def __init__(self, stop: int) -> None:
        self.stop = stop
        self.wish = Wish()

    def step(self, epoch: int, step: int, steps: int) -> None:
        if (epoch - 1) * steps + step == self.stop:
            self.wish.signum = signal.SIGTERM


@pytest.fixture
def photos(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = make_photos(tmp_path / "photos", count=9)
    if "test-part" in request.node.name:
        folder = tmp_path / "parts"
        for part in ("train", "test"):
            make_photos(folder / part, count=9)
    return folder


def stopped_at(stop: int, act: Callable[[Watcher], Result], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Act, and wish to stop after so many steps. Whether it came to that: patience may end a phase before."""
    watcher = Stopping(stop)
    with monkeypatch.context() as patch:
        patch.setattr(running, "listening", lambda tell: nullcontext(watcher.wish))
        torch.manual_seed(stop)  # no luck: what is drawn comes from the checkpoint
        try:
            act(watcher)
        except Interrupted:
            return True
    return False


@pytest.mark.parametrize("case", CASES)
def test_a_run_interrupted_in_every_phase_ends_with_the_same_bytes(
    case: str, photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    config = replace(CASES[case], data=str(photos), out=str(tmp_path / "whole"))
    job = prepare(config, catalog)
    run_job(job, Silent())
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "another"))
    steps = training_steps(len(job.source.parts["train"]), config.batch_size)
    first, stops = 0, []
    for phase in job.plan.phases:
        stops += [first * steps + 2, (first + phase.epochs) * steps]  # in mid-epoch, and at the phase's end
        first += phase.epochs
    again = replace(config, out=str(tmp_path / "run"))
    assert stopped_at(stops[0], lambda watcher: run_job(prepare(again, catalog), watcher), monkeypatch)
    for stop in stops[1:]:
        if not stopped_at(stop, lambda watcher: resume(tmp_path / "run", catalog, watcher), monkeypatch):
            break
    else:
        resume(tmp_path / "run", catalog, Silent())
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")
    assert history_of(tmp_path / "run") == history_of(tmp_path / "whole")
