"""The layout of a step is chosen by a trial on this machine before a long training, and recorded with the run.

Seen to fail: with a trial that moved the random numbers of the training, and with one that a resumed run made again.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from zoo_core.catalog import Catalog
from zoo_core.paths import cache_dir
from zoo_core.profiling.stages import stages_of
from zoo_core.runs.directory import read_facts
from zoo_core.runs.epochs import EpochReport
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.words import USUAL_LAYOUT, StepLayout
from zoo_core.training import autotune, step_layout
from zoo_core.training.callback import NullCallback
from zoo_core.training.estimate import epoch_seconds, estimate
from zoo_core.training.job import Job, prepare
from zoo_core.training.run import resume, run_job
from zoo_core.training.step_layout import BFLOAT16, OTHERS, LayoutTrial

LENET = FinetuneConfig(backbone="lenet5", strategy="full", epochs=2, batch_size=16, compile="off")
NORMS = replace(LENET, backbone="norms", weights="none", strategy="last:2,statistics=frozen", size=32, augment="none")
CONTIGUOUS = LayoutTrial(4, {USUAL_LAYOUT: 2.0, "contiguous:8": 1.0, BFLOAT16: 0.5})


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training is long enough for a trial."""
    monkeypatch.setattr(step_layout, "LEAST_GMACS", 0)


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[LayoutTrial]:
    """The trials that are made from now on: each finds the contiguous layout twice as fast."""
    made: list[LayoutTrial] = []

    def tried(job: object, frozen: int, fewer: int) -> LayoutTrial:
        made.append(CONTIGUOUS)
        return CONTIGUOUS

    monkeypatch.setattr(step_layout, "_tried", tried)
    return made


@pytest.mark.parametrize(
    ("seconds", "chosen", "tells_bfloat16"),
    [
        ({}, USUAL_LAYOUT, False),
        ({"contiguous:8": 0.95}, USUAL_LAYOUT, False),  # a busy machine makes such differences
        ({"contiguous:8": 0.8, "contiguous:whole": 0.7}, "contiguous:whole", False),
        ({BFLOAT16: 0.5}, USUAL_LAYOUT, True),  # told, not taken: its numbers are others
        ({BFLOAT16: 0.5, "contiguous:8": 0.55}, "contiguous:8", False),
    ],
)
def test_another_layout_is_taken_where_it_is_clearly_faster_and_bfloat16_is_told(
    seconds: dict[str, float], chosen: str, tells_bfloat16: bool
) -> None:
    trial = LayoutTrial(8, {USUAL_LAYOUT: 1.0, **seconds})
    assert trial.chosen == chosen
    assert (trial.note is not None) == tells_bfloat16
    assert f"a trial of {len({USUAL_LAYOUT, *seconds} - {BFLOAT16})} on 8 images" in trial.because


def test_all_layouts_of_the_setting_are_tried() -> None:
    assert {"auto", USUAL_LAYOUT, *OTHERS} == set(get_args(StepLayout))


@pytest.mark.parametrize("config", [LENET, NORMS], ids=["lenet5", "norms"])
def test_a_trial_is_short_leaves_no_trace_and_is_made_once(
    config: FinetuneConfig, photos: Path, catalog: Catalog, long: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, data=str(photos))
    untried = prepare(replace(config, step_layout=USUAL_LAYOUT), catalog)
    job = prepare(config, catalog)
    after = torch.random.get_rng_state()
    assert digest(job.model.state_dict()) == digest(untried.model.state_dict())
    assert all(one.is_contiguous() and one.grad is None for one in job.model.parameters())
    assert job.settings.step_layout in (USUAL_LAYOUT, *OTHERS)
    assert "in a trial of" in job.decisions["step_layout"].because
    monkeypatch.setattr(step_layout, "_tried", lambda *given: pytest.fail("the trial was made again"))
    assert prepare(config, catalog).settings == job.settings
    assert torch.equal(torch.random.get_rng_state(), after)


def test_a_cache_folder_that_cannot_be_written_costs_the_trial_of_the_next_run_alone(
    photos: Path, catalog: Catalog, long: None
) -> None:
    """Seen to fail: the folder of the results could not be made, and the run ended with a traceback."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    cache_dir().joinpath("layouts").write_text("a file where the folder goes")
    job = prepare(replace(LENET, data=str(photos)), catalog)
    assert "in a trial of" in job.decisions["step_layout"].because


def test_a_trial_with_statistics_of_the_batch_tries_the_memory_formats_and_leaves_them(
    photos: Path, catalog: Catalog, long: None
) -> None:
    config = replace(NORMS, strategy="full", data=str(photos))
    untried = prepare(replace(config, step_layout=USUAL_LAYOUT), catalog)
    job = prepare(config, catalog)
    assert digest(job.model.state_dict()) == digest(untried.model.state_dict())
    assert job.decisions["step_layout"].value in (USUAL_LAYOUT, "contiguous:8")


def test_a_trial_that_finds_too_little_memory_chooses_nothing(
    photos: Path, catalog: Catalog, long: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> object:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(step_layout, "_step_of", full)
    assert was_not_tried(prepare(replace(LENET, data=str(photos)), catalog))


def test_what_does_not_fit_into_the_time_is_not_tried(
    photos: Path, catalog: Catalog, long: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_layout, "SECONDS", 0.0)
    assert was_not_tried(prepare(replace(LENET, data=str(photos)), catalog))


@pytest.mark.parametrize("layers", [1, 4, 20], ids=["forward", "backward", "a later step"])
def test_a_trial_ends_in_the_middle_of_a_step_and_leaves_no_trace(
    layers: int, photos: Path, catalog: Catalog, long: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine one step may take ten seconds. Seen to fail: with the time looked at between steps alone."""
    ticks = iter(range(1_000))
    config = replace(NORMS, data=str(photos))
    untried = prepare(replace(config, step_layout=USUAL_LAYOUT), catalog)
    monkeypatch.setattr(step_layout, "ENDS", layers)
    monkeypatch.setattr(step_layout, "CLOCK", lambda: float(next(ticks)))
    job = prepare(config, catalog)
    assert was_not_tried(job)
    assert next(ticks) < layers + 4, "a look at the clock before each layer, and none after the last"
    assert digest(job.model.state_dict()) == digest(untried.model.state_dict())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in job.model.modules())
    assert all(one.grad is None for one in job.model.parameters())


@pytest.mark.parametrize(
    "changes",
    [{}, {"strategy": "head-only"}, {"step_layout": USUAL_LAYOUT}, {"compile": "on"}],
    ids=["short", "a head alone", "given", "compiled"],
)
def test_others_are_not_tried(
    changes: dict[str, Any], photos: Path, catalog: Catalog, trials: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    if changes:
        monkeypatch.setattr(step_layout, "LEAST_GMACS", 0)
    job = prepare(replace(LENET, data=str(photos), **changes), catalog)
    assert (job.settings.step_layout, trials) == (USUAL_LAYOUT, [])
    assert "trial of" not in str(job.decisions.get("step_layout"))


class Stops(NullCallback):
    """Stops a run after its first epoch."""

    def on_epoch(self, report: EpochReport) -> None:
        raise KeyboardInterrupt


def test_a_resumed_and_a_repeated_run_take_the_recorded_layout_and_end_with_the_same_bytes(
    photos: Path,
    tmp_path: Path,
    catalog: Catalog,
    long: None,
    trials: list[LayoutTrial],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = replace(NORMS, data=str(photos))
    job = prepare(replace(config, out=str(tmp_path / "whole")), catalog)
    assert job.notes[-1].startswith("--precision bfloat16 makes a training step 2.0 times as fast")
    run_job(job, NullCallback())
    with pytest.raises(KeyboardInterrupt):
        run_job(prepare(replace(config, out=str(tmp_path / "stopped")), catalog), Stops())
    assert len(trials) == 1, "the second run reads the first one's trial"
    monkeypatch.setattr(autotune, "tune_step_layout", lambda job: pytest.fail("a recorded layout needs no trial"))
    resume(tmp_path / "stopped", catalog, NullCallback())
    recorded = read_facts(tmp_path / "whole").config
    assert recorded.step_layout == "contiguous:8"
    run_job(prepare(replace(recorded, out=str(tmp_path / "repeated")), catalog), NullCallback())
    whole, *others = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped", "repeated"))
    assert others == [whole, whole]


@pytest.mark.parametrize("layout", OTHERS)
def test_a_step_computes_in_its_layout_and_gets_the_same_losses(
    layout: StepLayout, photos: Path, tmp_path: Path, catalog: Catalog
) -> None:
    losses = {}
    for name in (USUAL_LAYOUT, layout):
        config = replace(NORMS, data=str(photos), step_layout=name, out=str(tmp_path / name.replace(":", "-")))
        job = prepare(config, catalog)
        seen: list[tuple[bool, int]] = []

        def note(module: nn.Module, inputs: tuple[Tensor, ...], seen: list[tuple[bool, int]] = seen) -> None:
            if torch.is_grad_enabled():
                last = inputs[0].is_contiguous(memory_format=torch.channels_last) and not inputs[0].is_contiguous()
                seen.append((last, len(inputs[0])))

        for module in job.model.backbone.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_pre_hook(note)
        losses[name] = [report.train_loss for report in run_job(job, NullCallback()).trained.epochs]
        is_last, sizes = name.startswith("channels-last"), {images for _, images in seen}
        assert {last for last, _ in seen} == {is_last}
        assert max(sizes) == (8 if name.endswith(":8") else 16)
    assert losses[layout] == pytest.approx(losses[USUAL_LAYOUT], rel=1e-4)


def was_not_tried(job: Job) -> bool:
    """Whether a job has the usual layout and says that others were not tried; another run would try again."""
    is_usual = job.settings.step_layout == USUAL_LAYOUT and not list((cache_dir() / "layouts").glob("*"))
    return is_usual and "longer than 2 seconds, or more memory" in job.decisions["step_layout"].because


def digest(state: dict[str, Tensor]) -> str:
    return hashlib.sha256(b"".join(one.numpy().tobytes() for one in state.values())).hexdigest()


def test_the_share_of_the_trained_stages_is_that_of_their_multiplications(photos: Path, catalog: Catalog) -> None:
    backbone = replace(LENET, backbone="resnet18", weights="none", strategy="full", size=64, data=str(photos))
    job = prepare(backbone, catalog)
    macs = [stage.macs or 0 for stage in stages_of(job.backbone, job.preprocessing)]
    assert sum(macs) > 1e8
    for frozen in (0, len(macs) - 2, len(macs) - 1):
        assert step_layout._trained_share(job, frozen) == pytest.approx(sum(macs[frozen:]) / sum(macs), rel=0.1)


@pytest.mark.parametrize(("strategy", "made"), [("full", [CONTIGUOUS]), ("last:1", [])])
def test_the_stages_that_are_trained_decide_whether_a_training_is_long(
    strategy: str,
    made: list[LayoutTrial],
    photos: Path,
    catalog: Catalog,
    trials: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = replace(LENET, backbone="resnet18", weights="none", strategy=strategy, size=64, data=str(photos))
    monkeypatch.setattr(step_layout, "LEAST_GMACS", 2.5)  # of 4.7, two epochs of all stages
    prepare(given, catalog)
    assert trials == made


def test_trials_and_estimates_compute_with_the_threads_of_the_training(
    photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: the trial of layouts took those of torch, under one key for all numbers of them."""
    computed: set[int] = set()
    forward = nn.Conv2d.forward

    def noted(self: nn.Conv2d, images_BCHW: Tensor) -> Tensor:
        if not images_BCHW.is_meta:
            computed.add(torch.get_num_threads())
        return forward(self, images_BCHW)

    monkeypatch.setattr(nn.Conv2d, "forward", noted)
    monkeypatch.setattr(step_layout, "LEAST_GMACS", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    config = FinetuneConfig(backbone="lenet5", strategy="full", data=str(photos), epochs=1, threads=1, batch_size=4)
    try:
        job = prepare(config, catalog)
        assert computed == {1}
        computed.clear()
        estimate(job)
        epoch_seconds(job)
        assert computed == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
