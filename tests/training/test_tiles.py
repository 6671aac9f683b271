"""Training with convolutions from tiles: chosen by a trial on this machine, recorded with the run, off on request.

Seen to fail: with a trial that drew from the training's random numbers, with a recomputed stage that forgot its tiles,
and with features of `--tiles none` that came from a cache of features from tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from helpers import act_as_accelerator
from zoo_core.catalog import Catalog
from zoo_core.devices import processor
from zoo_core.frozen.inputs import ComputedFeatures
from zoo_core.frozen.split import FrozenPrefix, SplitPoint, Tail
from zoo_core.paths import cache_dir
from zoo_core.runs.directory import read_facts
from zoo_core.runs.epochs import EpochReport
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.words import USUAL_LAYOUT, Tiles
from zoo_core.tiles import products, trained, trial
from zoo_core.tiles.frozen import WinogradConvolution
from zoo_core.training import autotune, step_layout
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import Job, prepare
from zoo_core.training.run import resume, run_job
from zoo_core.training.setup import make_planner

NORMS = FinetuneConfig(
    backbone="norms", weights="none", strategy="full", epochs=2, batch_size=16, size=32, augment="none", compile="off",
    step_layout=USUAL_LAYOUT, device="cpu",
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of this test alone, and convolutions of few channels that suit."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(products.FEWEST_CHANNELS, torch.backends.cpu.get_cpu_capability(), 8)
    monkeypatch.setattr(trained, "FEWEST_TILES", 1)


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The trials that are made from now on: each finds tiles twice as fast."""
    made: list[object] = []

    def tried() -> Mapping[bool, float]:
        made.append(None)
        return {True: 1.0, False: 2.0}

    monkeypatch.setattr(trial, "_tried", tried)
    return made


def prepared(photos: Path, catalog: Catalog, **given: object) -> Job:
    return prepare(replace(NORMS, data=str(photos), **given), catalog)  # type: ignore[arg-type]


def test_a_trial_leaves_no_trace_and_is_made_once_on_a_machine(
    photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    untried = prepared(photos, catalog, tiles="frozen")
    before = torch.random.get_rng_state()
    gain = trial.gain_of_tiles()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert 0.01 < gain < 100
    assert len(list((cache_dir() / "tiles").iterdir())) == 1
    monkeypatch.setattr(trial, "_tried", lambda: pytest.fail("the trial was made again"))
    assert trial.gain_of_tiles() == gain
    job = prepared(photos, catalog)
    assert job.settings.tiles == ("all" if gain >= trial.WORTH_IT else "frozen")
    assert all(map(torch.equal, job.model.state_dict().values(), untried.model.state_dict().values()))


def test_another_processor_has_a_trial_of_its_own(trials: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    assert trial.gain_of_tiles() == 2.0
    monkeypatch.setattr(processor, "processor", lambda: "another")
    assert (trial.gain_of_tiles(), len(trials)) == (2.0, 2)


def test_a_cache_folder_that_cannot_be_written_costs_the_next_trial_alone(trials: list[object]) -> None:
    cache_dir().mkdir(parents=True, exist_ok=True)
    cache_dir().joinpath("tiles").write_text("a file where the folder goes")
    assert trial.gain_of_tiles() == 2.0


@pytest.mark.parametrize(
    "given",
    [
        {"strategy": "head-only"},
        {"precision": "bfloat16"},
        {"precision": "bfloat16", "tiles": "all"},
        {"compile": "on", "tiles": "all"},
        {"compile": "on"},
        {"tiles": "frozen"},
        {"tiles": "all"},
        {"backbone": "lenet5"},  # 5 x 5
    ],
)
def test_no_trial_where_it_decides_nothing(
    given: dict[str, object], photos: Path, catalog: Catalog, trials: list[object]
) -> None:
    job = prepared(photos, catalog, **given)
    assert (job.settings.tiles, trials) == (given.get("tiles", "frozen"), [])
    is_idle = given.get("tiles") == "all" and len(given) > 1
    assert (autotune.NO_TILES in job.notes) is is_idle
    assert job.settings.trains_from_tiles is (given.get("tiles") == "all" and "compile" not in given)
    if "tiles" not in given:
        assert "trial on this machine" not in job.decisions["tiles"].because


def test_a_training_from_tiles_is_not_compiled_and_another_one_may_be(
    photos: Path, catalog: Catalog, trials: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: where compiling paid, tiles were not tried, though they save more."""
    monkeypatch.setattr(autotune, "_compiling_pays", lambda job: True)
    for given, expected in (
        ({}, "off"),
        ({"tiles": "all"}, "off"),
        ({"tiles": "frozen"}, "on"),
        ({"backbone": "lenet5"}, "on"),
    ):
        job = prepared(photos, catalog, compile="auto", **given)
        assert job.settings.compile == expected, given
    monkeypatch.setattr(trial, "_tried", lambda: {True: 1.0, False: 1.0})
    monkeypatch.setattr(trial, "read_index", lambda *given: None)
    job = prepared(photos, catalog, compile="auto")
    assert (job.settings.tiles, job.settings.compile) == ("frozen", "on")


def test_the_trial_computes_with_the_threads_of_the_run(
    photos: Path, catalog: Catalog, trials: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(autotune, "computing_with", lambda threads, message: seen.append(threads) or nullcontext())
    prepared(photos, catalog, threads=7)
    assert (seen, len(trials)) == ([7], 1)


def test_a_trial_of_layouts_computes_as_the_training_will(
    photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_layout, "LEAST_GMACS", 0)
    calls: list[object] = []
    convolution = trained.convolution
    monkeypatch.setattr(trained, "convolution", lambda *given: calls.append(None) or convolution(*given))
    keys = []
    for tiles in ("frozen", "all"):
        calls.clear()
        job = prepared(photos, catalog, tiles=tiles, step_layout="auto")
        assert "in a trial of" in job.decisions["step_layout"].because
        assert bool(calls) == (tiles == "all")
        keys.append(step_layout._key(job, 0))
    assert keys[0] != keys[1]


@pytest.mark.parametrize(("seconds", "expected"), [(2.0, "all"), (1.05, "frozen"), (0.5, "frozen")])
def test_tiles_are_taken_where_they_are_clearly_faster(
    seconds: float, expected: Tiles, photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_tried", lambda: {True: 1.0, False: seconds})
    job = prepared(photos, catalog)
    assert job.settings.tiles == expected
    compared = "faster" if expected == "all" else "no faster"
    assert f"was {compared} in a short trial on this machine" in job.decisions["tiles"].because


@pytest.mark.parametrize("recompute", [False, True])
def test_a_tail_computes_gradients_from_tiles_and_measures_directly(
    recompute: bool, photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepared(photos, catalog)
    job.model.apply_rules(job.plan.rules(job.plan.phases[0]))
    calls: list[bool] = []
    convolution = trained.convolution

    def noted(*given: object) -> object:
        calls.append(torch.is_grad_enabled())
        return convolution(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(trained, "convolution", noted)
    images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def gradients(*, tiles: bool) -> list[torch.Tensor]:
        job.model.zero_grad(set_to_none=True)
        tail = Tail(job.model, SplitPoint(0), recompute=recompute, tiles=tiles).train()
        tail(images).square().sum().backward()
        return [parameter.grad for parameter in tail.parameters() if parameter.grad is not None]

    direct = gradients(tiles=False)
    assert calls == []
    from_tiles = gradients(tiles=True)
    assert len(calls) == (9 if recompute else 6), "three convolutions, forth and back, and forth again"
    for found, exact in zip(from_tiles, direct, strict=True):
        assert torch.allclose(found, exact, rtol=1e-3, atol=1e-4 * float(exact.abs().max()))
    calls.clear()
    with torch.inference_mode():
        measured = [Tail(job.model, SplitPoint(0), tiles=tiles).eval()(images) for tiles in (True, False)]
    assert torch.equal(*measured)
    assert calls == []


def test_no_mode_is_active_where_no_gradients_are_wanted(photos: Path, catalog: Catalog) -> None:
    """Seen to fail: it turned off torch's quick way through attention, and an epoch was measured in other numbers."""
    job = prepared(photos, catalog)
    job.model.apply_rules(job.plan.rules(job.plan.phases[0]))
    active: list[int] = []
    stage = job.model.backbone.stage("layer1")
    stage.register_forward_pre_hook(lambda *given: active.append(torch._C._len_torch_function_stack()))
    tail, images = Tail(job.model, SplitPoint(0), tiles=True), torch.rand(2, 3, 32, 32)
    tail(images)
    with torch.inference_mode():
        tail(images)
    assert active == [1, 0]


class Stops(NullCallback):
    """Stops a run after its first epoch."""

    def on_epoch(self, report: EpochReport) -> None:
        raise KeyboardInterrupt


def test_a_resumed_and_a_repeated_run_take_what_was_recorded_and_end_with_the_same_bytes(
    photos: Path, tmp_path: Path, catalog: Catalog, trials: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(prepared(photos, catalog, out=str(tmp_path / "whole")), NullCallback())
    run_job(prepared(photos, catalog, tiles="frozen", out=str(tmp_path / "direct")), NullCallback())
    with pytest.raises(KeyboardInterrupt):
        run_job(prepared(photos, catalog, out=str(tmp_path / "stopped")), Stops())
    monkeypatch.setattr(trial, "_tried", lambda: pytest.fail("a recorded choice needs no trial"))
    resume(tmp_path / "stopped", catalog, NullCallback())
    recorded = read_facts(tmp_path / "whole").config
    assert recorded.tiles == "all"
    run_job(prepare(replace(recorded, out=str(tmp_path / "repeated")), catalog), NullCallback())
    names = ("whole", "stopped", "repeated", "direct")
    whole, *others, direct = ((tmp_path / name / "model.safetensors").read_bytes() for name in names)
    assert others == [whole, whole]
    assert direct != whole, "tiles round differently"


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_a_prefix_without_tiles_has_features_of_its_own(
    photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders, kinds = set(), {}
    for tiles in ("frozen", "none"):
        job = prepared(photos, catalog, strategy="head-only", tiles=tiles)
        prefixes: list[FrozenPrefix] = []
        planner = make_planner(job, job.world, lambda text: None)
        build = planner.exact.build

        def noted(make_prefix: object, *given: object, build: object = build, seen: list[object] = prefixes) -> None:
            seen.append(make_prefix())  # type: ignore[operator]
            build(make_prefix, *given)  # type: ignore[operator]

        monkeypatch.setattr(planner.exact, "build", noted)
        try:
            planner.enter(0, lambda done, total: None)
            (split,) = planner.exact.shapes.keys() & set(job.caching.splits)
            folders.add(planner.exact.folder(split))
        finally:
            planner.close()
        assert planner.num_computed
        kinds[tiles] = any(isinstance(module, WinogradConvolution) for one in prefixes for module in one.modules())
    assert kinds == {"frozen": True, "none": False}
    assert len(folders) == 2


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
@pytest.mark.parametrize("tiles", ["frozen", "none"])
def test_a_prefix_that_is_computed_anew_has_them_or_not(
    tiles: Tiles, photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepared(photos, catalog, strategy="last:1", views=0, tiles=tiles)
    planner = make_planner(job, job.world, lambda text: None)
    inputs = planner.enter(0, lambda done, total: None).train
    planner.close()
    assert isinstance(inputs, ComputedFeatures)
    kinds = {type(module) for module in inputs.prefix.modules()}
    assert (WinogradConvolution in kinds) == (tiles == "frozen")


def test_an_accelerator_has_no_other_features_without_tiles(
    photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    act_as_accelerator(monkeypatch)
    job = prepared(photos, catalog, strategy="head-only", tiles="none", compile="off")
    identities = []
    for tiles in ("none", "frozen"):
        changed = replace(job, settings=replace(job.settings, tiles=tiles))
        planner = make_planner(changed, job.world, lambda text: None)
        identities.append((planner.features.identity, planner.tiles))
        planner.close()
    assert identities[0] == identities[1]
