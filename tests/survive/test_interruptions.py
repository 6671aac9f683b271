"""Row 5: whatever learns, and wherever it is interrupted, the run goes on and ends with the same bytes.

Each run is stopped in each phase of its plan by the wish that a signal makes: in the middle of an epoch, while the last one
is measured, and when it was. Seen to fail: without the optimizer's state, the random numbers or the summed loss in the
checkpoint, or with the newest weights in it in place of the best; where a position at the end of an epoch's steps is
refused; where a measurement is not left (the run was measured to its end, and finished);
where a resumed run looks for its learning rate again.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers import make_photos, make_table
from survive.support import history_of, weights_of
from zoo_core.catalog import Catalog
from zoo_core.data.batches import training_steps
from zoo_core.runs.epochs import EpochReport
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.fields import settings_of
from zoo_core.specs import FreezeSpec
from zoo_core.tiles import products, trained
from zoo_core.training import run as running
from zoo_core.training.callback import Callback, NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.phase_trainer import PhaseTrainer
from zoo_core.training.result import Result
from zoo_core.training.run import resume, run_job
from zoo_core.training.stopping import Interrupted, StopRequest
from zoo_core.training.trainer import Trainer

LENET = FinetuneConfig(
    backbone="lenet5", head="mlp:hidden=8,dropout=0.5", epochs=4, batch_size=5, micro_batch=2, seed=2
)
NORMS = replace(LENET, backbone="norms", weights="none", size=32, epochs=2, batch_size=6, tiles="frozen")
CASES = {
    "head-only": replace(LENET, strategy="head-only", fit="pad", loss="focal"),
    "last:1": replace(LENET, strategy="last:1", views=0, metric="macro-f1"),
    "first:1": replace(LENET, strategy="first:1", balance="sampling"),
    "full": replace(
        LENET, strategy="full", optimizer="sgd", lr=1e-3, balance="weights", loss="focal:1", augment="crop+color+erase"
    ),
    "gradual": replace(LENET, strategy="gradual", augment="none"),
    "lp-ft": replace(LENET, strategy="lp-ft", optimizer="sgd", lr=1e-3),
    "layerwise": replace(LENET, strategy="layerwise"),
    "bias-only": replace(LENET, strategy="bias-only"),
    "patience": replace(LENET, strategy="lp-ft", epochs=6, patience=1, metric="log-loss"),
    "test-part": replace(LENET, strategy="lp-ft", val_share=0.3),
    "parts of the data": replace(
        LENET,
        strategy="head-only",
        fit="squash",
        train_share=0.8,
        fold="1/3",
        group_by=r"(\d)\.",
        bad_images="skip",
        label_smoothing=0.1,
        warmup=0.4,
        weight_decay=0.1,
        base_lr=0.5,
        best_epoch="highest",
        patience=3,
    ),
    "decided": replace(LENET, strategy="full", epochs=2, fix_list="suspects.csv", gradient_checkpointing=True),
    "labels": replace(LENET, strategy="head-only", task="multilabel", metric="macro-f1"),
    "numbers": replace(LENET, strategy="last:1", task="regression", metric="auto"),
    "norms learn": replace(NORMS, strategy="last:1", augment="crop+flip+rotate"),
    "features in bfloat16": replace(NORMS, strategy="last:1", prefix_precision="bfloat16"),
    "norm-only": replace(NORMS, strategy="norm-only"),
    "frozen statistics": replace(NORMS, strategy="last:2,statistics=frozen", augment="none", optimizer="sgd"),
    "another layout": replace(
        NORMS, strategy="last:2,statistics=frozen", step_layout="contiguous:whole", micro_batch=None, threads=2
    ),
    "tiles": replace(NORMS, strategy="last:2", tiles="all"),
    "gradual norms": replace(NORMS, strategy="gradual", epochs=3, cache_dtype="float32"),
    "lora": replace(NORMS, strategy="lora"),
    "averages and mixtures": replace(LENET, strategy="lp-ft", ema=0.9, mixup=0.4, cutmix=1.0, l2_sp=0.1),
    "range test": replace(LENET, strategy="lp-ft", lr="auto"),
    "rate by trials": replace(LENET, strategy="head-only", batch_size=20),
    "solved, then trained": replace(LENET, strategy="last:1", head="logreg"),
}


class Stopping(NullCallback):
    """Wishes to stop after a step, counted from the beginning of the run; or when an epoch was measured."""

    def __init__(self, stop: int, epoch: int | None = None) -> None:
        self.stop = stop
        self.measured = epoch
        self.stop_request = StopRequest()

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        if (epoch - 1) * steps + step == self.stop:
            self.stop_request.signal = signal.SIGTERM

    def on_epoch(self, report: EpochReport) -> None:
        if report.epoch == self.measured:
            self.stop_request.signal = signal.SIGTERM


@pytest.fixture
def photos(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    name = request.node.name
    if "labels" in name or "numbers" in name:
        header, row = ("path,tags", "{}|any") if "labels" in name else ("path,warmth", "{1}.5")
        return make_table(tmp_path / "photos", header, lambda *one: row.format(*one), count=9)
    folder = make_photos(tmp_path / "photos", count=32 if "trials" in name else 9)
    if "test-part" in name:
        folder = tmp_path / "parts"
        for part in ("train", "test"):
            make_photos(folder / part, count=9)
    return folder


def stopped_at(
    stop: int, act: Callable[[Callback], Result], monkeypatch: pytest.MonkeyPatch, *, epoch: int | None = None
) -> bool:
    """Act, and wish to stop after so many steps, or when an epoch was measured.

    Whether it came to that: patience may end a phase before.
    """
    callback = Stopping(stop, epoch)
    with monkeypatch.context() as patch:
        patch.setattr(running, "stop_on_signals", lambda tell: nullcontext(callback.stop_request))
        torch.manual_seed(stop)  # no luck: what is drawn comes from the checkpoint
        try:
            act(callback)
        except Interrupted:
            return True
    return False


@pytest.mark.parametrize("case", CASES)
def test_a_run_interrupted_in_every_phase_ends_with_the_same_bytes(
    case: str, photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(products.FEWEST_CHANNELS, torch.backends.cpu.get_cpu_capability(), 8)
    monkeypatch.setattr(trained, "FEWEST_TILES", 1)
    config = replace(CASES[case], data=str(photos), out=str(tmp_path / "whole"))
    if config.fix_list != "none":
        (tmp_path / config.fix_list).write_text("path,class,decision\nred/1.png,red,drop\nred/3.png,red,class:blue\n")
        config = replace(config, fix_list=str(tmp_path / config.fix_list))
    job = prepare(config, catalog)
    with monkeypatch.context() as patch:
        computed: list[object] = []
        convolution = trained.convolution
        patch.setattr(trained, "convolution", lambda *given: computed.append(None) or convolution(*given))
        run_job(job, NullCallback())
    assert bool(computed) == (case == "tiles")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "another"))
    steps = training_steps(len(job.source.parts["train"]), config.batch_size)
    first, stops = 0, []
    for phase in job.plan.phases:
        end = first + phase.epochs
        # in mid-epoch; while the phase's last epoch is measured, which begins after its last step; and when it was
        stops += [(first * steps + 2, None), (end * steps, None), (-1, end)]
        first = end
    again = replace(config, out=str(tmp_path / "run"))
    assert stopped_at(stops[0][0], lambda callback: run_job(prepare(again, catalog), callback), monkeypatch)
    for stop, epoch in stops[1:]:
        if not stopped_at(stop, lambda callback: resume(tmp_path / "run", catalog, callback), monkeypatch, epoch=epoch):
            break
    else:
        resume(tmp_path / "run", catalog, NullCallback())
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")
    assert history_of(tmp_path / "run") == history_of(tmp_path / "whole")
    for name in ("fitted.safetensors", "answers.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


ELSEWHERE = {
    "data",
    "out",
    "device",
    "workers",
    "decoding",
    "save_every",
    "track",
    "cache_gb",
    "precision",
    "compile",
    "from_run",
}
"""Settings of the machine and of its caches, and a run to start from: tests/training/test_going_on.py."""


def test_every_setting_that_decides_a_result_was_interrupted() -> None:
    """A new one wants a case, or a word on where it is resumed."""
    for name, declared in settings_of(FinetuneConfig).items():
        given = {getattr(config, name) for config in CASES.values()} - {declared.default}
        assert given or name in ELSEWHERE, f"no case sets {name}"


def test_every_strategy_that_there_is_was_interrupted(catalog: Catalog) -> None:
    names = {entry.spec.name for entry in catalog.entries(FreezeSpec)}
    assert names == {config.strategy.partition(":")[0] for config in CASES.values()}


@pytest.mark.parametrize("where", ["solve_head", "training_loss", "evaluate", "measure_best", "test"])
def test_a_measurement_is_left_and_made_again(
    where: str, photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the head is solved, while an epoch is measured, and when the run's best epoch is, on either part."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    if where == "test":
        photos = photos.rename(tmp_path / "train").parent / "parts"
        (tmp_path / "train").rename(make_photos(photos / "test", count=3).parent / "train")
    solved = where in ("solve_head", "training_loss")
    config = replace(LENET, head="logreg" if solved else "linear", strategy="head-only", data=str(photos))
    run_job(prepare(replace(config, out=str(tmp_path / "whole")), catalog), NullCallback())
    callback = Stopping(-1)
    name = "measure_best" if where == "test" else where
    owner = Trainer if name == "measure_best" else PhaseTrainer
    real = getattr(owner, name)

    def wished(*arguments: object, **named: object) -> object:
        callback.stop_request.signal = signal.SIGINT
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(running, "stop_on_signals", lambda tell: nullcontext(callback.stop_request))
        patch.setattr(owner, name, wished)
        with pytest.raises(
            Interrupted, match=r"interrupted in epoch \d; all that was done is saved. Go on with: zoo resume"
        ):
            run_job(prepare(replace(config, out=str(tmp_path / "run")), catalog), callback)
    resume(tmp_path / "run", catalog, NullCallback())
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")
    assert history_of(tmp_path / "run") == history_of(tmp_path / "whole")
