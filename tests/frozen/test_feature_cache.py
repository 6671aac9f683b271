"""What is computed once gives the same training as what is computed in every epoch."""

from __future__ import annotations

import os
import shutil
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from helpers import make_photos
from norms import CHANNELS
from zoo_core.catalog import Catalog
from zoo_core.data import scan, sources
from zoo_core.data.augmentation import Augmentation
from zoo_core.data.batches import Batches, training_groups
from zoo_core.data.eviction import remove_store
from zoo_core.data.generation import ENTRY, HEADER_BYTES
from zoo_core.data.on_device import normalised
from zoo_core.data.sources import ArrayImages, Part
from zoo_core.data.store import Store
from zoo_core.devices.world import World
from zoo_core.errors import DataError, TrainingError
from zoo_core.freezing.plan import TRAINABLE
from zoo_core.frozen import keys as keys_module
from zoo_core.frozen.cache_items import CacheItems
from zoo_core.frozen.caching import cache_budget, choose_caching, view_in_epoch
from zoo_core.frozen.feature_cache import FeatureCache
from zoo_core.frozen.input_planner import InputPlanner
from zoo_core.frozen.inputs import CPU_GROUP
from zoo_core.frozen.keys import FeatureKey, prefix_keys
from zoo_core.frozen.split import FrozenPrefix, SplitPoint, Tail, folded
from zoo_core.model.assemble import Model
from zoo_core.model.chain import Chain
from zoo_core.paths import cache_dir
from zoo_core.settings import CacheType, FinetuneConfig
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import Job, prepare
from zoo_core.training.result import Result
from zoo_core.training.run import run_job
from zoo_core.training.schedule import Rates, make_optimizer, parameter_groups, set_rates
from zoo_core.training.setup import make_planner
from zoo_core.training.snapshot import load_optimizer, optimizer_state
from zoo_core.training.trainer_state import TrainerState
from zoo_core.weights_specs import Preprocessing

BASE = FinetuneConfig(
    backbone="norms",
    weights="none",
    epochs=3,
    batch_size=8,
    size=32,
    augment="none",
    cache_dtype="float32",
    lr=1e-2,
    optimizer="sgd",
    precision="float32",
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinetuneConfig:
    monkeypatch.chdir(tmp_path)  # runs get names of their own there
    return replace(BASE, data=str(make_photos(tmp_path / "photos", count=12)))


def run(
    config: FinetuneConfig, catalog: Catalog, callback: NullCallback | None = None, **changes: object
) -> tuple[Job, Result]:
    job = prepare(replace(config, **changes), catalog)
    # A trained network's statistics are not 0 and 1: those of a new one would hide a wrong folding.
    generator = torch.Generator().manual_seed(5)
    for name, buffer in job.model.backbone.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return job, run_job(job, callback or NullCallback())


def naive(config: FinetuneConfig, catalog: Catalog) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The trainer of a tutorial: every epoch sends every image through the whole network."""
    job = prepare(config, catalog)
    generator = torch.Generator().manual_seed(5)
    for name, buffer in job.model.backbone.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    train = Batches(job.source.parts["train"], job.preprocessing, config.batch_size, 1)
    optimizer, losses, epoch = None, [], 0
    for number, phase in enumerate(job.plan.phases):
        job.model.apply_rules(job.plan.rules(phase))
        rates = Rates.of(job.settings.lr, job.settings.base_lr, job.plan, phase)
        moments = optimizer_state(job.model, optimizer) if optimizer is not None else {}
        optimizer = make_optimizer(config, parameter_groups(job.model, job.plan, number, rates, 0.01))
        load_optimizer(job.model, optimizer, moments)
        for _ in range(phase.epochs):
            job.model.train()
            total, groups = 0.0, training_groups(len(train.part), config.batch_size, seed=0, epoch=epoch)
            for step, group in enumerate(groups):
                images = normalised(train.load_batch([(index, 0) for index in group]), job.preprocessing, job.device)
                set_rates(optimizer, epoch * len(groups) + step, config.epochs * len(groups), len(groups), 0.1)
                loss = functional.cross_entropy(job.model(images), train.targets(group))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(group)
            losses.append(total / len(train.part))
            epoch += 1
    return {name: tensor.clone() for name, tensor in job.model.state_dict().items()}, losses


@pytest.mark.parametrize("strategy", ["head-only", "last:2", "last:2,statistics=frozen", "lp-ft", "gradual"])
@pytest.mark.parametrize("views", [None, 0])
def test_losses_and_weights_are_those_of_the_naive_loop(
    config: FinetuneConfig, catalog: Catalog, strategy: str, views: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, strategy=strategy, views=views)
    expected, losses = naive(config, catalog)
    # The best epoch's weights are put back at the end; here the last epoch's are compared.
    monkeypatch.setattr(TrainerState, "load_best", lambda self: None)
    job, result = run(config, catalog)
    assert [report.train_loss for report in result.trained.epochs] == pytest.approx(losses, rel=1e-4)
    found = job.model.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.allclose(found[name].float(), tensor.float(), rtol=1e-3, atol=2e-4), name
    assert (result.num_computed > 0) == (views is None)


def test_a_second_run_with_another_head_or_strategy_computes_nothing_of_the_base(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, augment="crop-flip", views=2)
    # One set of weights for all runs, as published ones would be.
    _, first = run(config, catalog, strategy="head-only")
    assert first.num_computed == 20 * 2 + 4
    calls: list[int] = []
    real = FrozenPrefix.forward
    monkeypatch.setattr(FrozenPrefix, "forward", lambda self, *more: calls.append(1) or real(self, *more))
    for changes in ({"head": "mlp:hidden=16"}, {"lr": 1e-3, "batch_size": 4}, {"head": "linear:dropout=0.5"}):
        _, second = run(config, catalog, strategy="head-only", **changes)
        assert second.num_computed == len(calls) == 0, changes
    job, third = run(config, catalog, strategy="lp-ft", epochs=2)
    assert [len(job.plan.trainable(phase)) for phase in job.plan.phases] == [1, 5]
    assert third.num_computed == len(calls) == 0


def test_later_phases_are_computed_in_the_pass_of_the_first(config: FinetuneConfig, catalog: Catalog) -> None:
    _, result = run(config, catalog, strategy="gradual", epochs=4)
    assert result.num_computed == 24


def test_a_cut_further_back_starts_from_the_one_that_is_kept(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config, catalog, strategy="last:1")
    read: list[object] = []
    monkeypatch.setattr(Batches, "load_batch", lambda self, group: read.append(group))
    _, result = run(config, catalog, strategy="head-only")
    assert result.num_computed == 24
    assert read == []  # layer3 is computed from layer2's features: no image was opened


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_what_is_kept_does_not_depend_on_what_was_there(config: FinetuneConfig, catalog: Catalog, dtype: str) -> None:
    """Where half precision is kept, a later cut does not start from what was rounded at an earlier one. Seen to fail
    without that rule: the features of a run that found others differed from those of one that found none."""
    kept = []
    for before in ((), ("last:1",)):
        for strategy in (*before, "head-only"):
            job = prepare(replace(config, strategy=strategy, cache_dtype=dtype), catalog)
            run_job(job, NullCallback())
        (cut,) = job.caching.splits
        assert cut is not None
        entry = job.backbone.entry
        identity = f"{entry.distribution} {entry.version} {job.backbone}"
        keys = prefix_keys(job.model, job.preprocessing, identity, job.device)
        features = FeatureCache(cache_dir(), "", job.shapes, "none", dtype, job.device, 1, keys)
        train = Batches(job.source.parts["train"], job.preprocessing, 8, 1)
        inputs, _ = next(features.cached(cut, train, 1).batches([[(index, 0) for index in range(len(train.part))]]))
        kept.append(inputs)
        features.close()
        shutil.rmtree(cache_dir())
    assert kept[0].std() > 0.01
    assert torch.equal(*kept)


@pytest.mark.parametrize("what", ["weights", "preprocessing", "image", "stages", "augment"])
def test_what_decides_a_feature_decides_its_key(config: FinetuneConfig, catalog: Catalog, what: str) -> None:
    run(config, catalog, strategy="head-only", augment="crop-flip", views=2)
    changes: dict[str, object] = {}
    if what == "weights":
        changes["seed"] = 1  # other random weights
    elif what == "preprocessing":
        changes["size"] = 40
    elif what == "augment":
        changes["augment"] = "flip"
    elif what == "stages":
        changes["backbone"] = "lenet5"
    else:
        for path in Path(config.data).rglob("*.png"):
            path.write_bytes(path.read_bytes() + b" ")
    before = {"strategy": "head-only", "augment": "crop-flip", "views": 2} | changes
    _, second = run(config, catalog, **before)
    # half of the images are PNG files; the centre view is the same however the others are varied
    least = {"image": 12, "augment": 20}.get(what, 44)
    assert least <= second.num_computed <= max(least, 24)


def test_where_only_the_head_learns_its_pooled_features_are_kept(config: FinetuneConfig, catalog: Catalog) -> None:
    job = prepare(replace(config, strategy="head-only", size=64), catalog)
    assert job.shapes[SplitPoint(4)] == (CHANNELS, 16, 16)
    assert job.caching.splits == (SplitPoint(4, pooled=True),)
    assert job.caching.total == 24 * CHANNELS * 4


def test_a_file_is_hashed_when_it_is_scanned_and_when_its_bytes_are_used(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bytes] = []
    for module in (scan, sources):
        real = module.content_digest
        monkeypatch.setattr(
            module, "content_digest", lambda content, real=real: hashed.append(content) or real(content)
        )
    time.sleep(2 * scan.CLOCK_TICK_NS / 1e9)  # a file that was written just now is scanned again the next time
    run(config, catalog, strategy="head-only", augment="none", views=1)
    assert len(set(hashed)) == 24
    assert len(hashed) == 48
    run(config, catalog, strategy="head-only", augment="none", views=1)
    assert len(hashed) == 48  # nothing is read again


def test_features_of_a_file_that_changes_after_the_scan_are_not_cached(
    config: FinetuneConfig, catalog: Catalog
) -> None:
    """Reported: they were cached under the digest of the old content, and found by every later run on that."""
    clean, _ = run(config, catalog, strategy="head-only"), shutil.rmtree(cache_dir())
    image = next(Path(config.data).rglob("*.png"))
    content = image.read_bytes()
    job = prepare(replace(config, strategy="head-only"), catalog)
    image.write_bytes(next(path for path in Path(config.data).rglob("*.png") if path != image).read_bytes())
    with pytest.raises(DataError, match=f"{image.name} has changed since the images were scanned. Put it back"):
        run_job(job, NullCallback())
    image.write_bytes(content)
    again = run(config, catalog, strategy="head-only")
    for name, tensor in clean[0].model.state_dict().items():
        assert torch.equal(again[0].model.state_dict()[name], tensor), name


def test_a_row_takes_no_more_memory_than_its_entry_in_the_index(tmp_path: Path) -> None:
    count, views, cut = 5000, 4, SplitPoint(1)
    pixels = np.arange(count, dtype="<u4").view(np.uint8).reshape(count, 2, 2)
    preprocessing = Preprocessing(size=2, mean=(0.5,), std=(0.5,))
    batches = Batches(
        Part(ArrayImages("numbers", pixels), (0,) * count), preprocessing, 8, 1, Augmentation("crop-flip")
    )
    features = FeatureCache(
        tmp_path,
        "",
        {cut: (1, 1, 1)},
        "crop-flip",
        "float32",
        torch.device("cpu"),
        1,
        {cut: FeatureKey("key")},
    )
    rows = CacheItems(((batches, views),))
    features.store(cut).add([features.key(*row) for row in rows], [np.zeros((1, 1, 1))] * len(rows))
    features.store(cut).commit()
    tracemalloc.start()
    features.build(lambda: pytest.fail("all is kept"), [cut], rows, World(), lambda done, total: None)
    kept = features.cached(cut, batches, views)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    features.close()
    assert kept.entries.shape == (count, views)
    assert peak < 5 * ENTRY.itemsize * len(rows)  # a few copies while they are looked for


def test_every_view_is_seen_and_each_epoch_sees_a_mixture() -> None:
    for index in range(5):
        assert {view_in_epoch(epoch, index, 3) for epoch in range(3)} == {0, 1, 2}
    assert {view_in_epoch(0, index, 3) for index in range(5)} == {0, 1, 2}


def test_over_the_budget_less_is_kept_and_it_is_said(config: FinetuneConfig, catalog: Catalog) -> None:
    job = prepare(replace(config, strategy="last:1"), catalog)

    def caching(budget: int, strategy: str = "last:1"):
        job = prepare(replace(config, strategy=strategy), catalog)
        return choose_caching(job.config, job.plan, job.shapes, job.preprocessing, train=20, val=4, budget=budget)

    layer2 = 24 * CHANNELS * 8 * 8 * 4
    assert job.shapes[SplitPoint(3)] == (CHANNELS, 8, 8)
    assert (caching(layer2).splits, caching(layer2).sizes, caching(layer2).warning) == ((SplitPoint(3),), (layer2,), "")
    little = caching(layer2 - 1)
    assert (little.splits, little.views) == ((None,), 0)
    assert "the budget (--cache-gb) is too small" in little.warning
    head_only = caching(24 * CHANNELS * 4, "head-only")
    assert head_only.splits == (SplitPoint(4, pooled=True),)
    _, result = run(config, catalog, strategy="last:1", cache_gb=0.0)
    assert result.num_computed == 0


def test_a_test_part_is_cached_beside_the_others_and_changes_no_choice(
    config: FinetuneConfig, catalog: Catalog
) -> None:
    """Seen to fail: a large test part left no room for the training images, so that none were cached."""

    def caching(room: int, strategy: str = "last:1"):
        job = prepare(replace(config, strategy=strategy, epochs=3), catalog)
        counts = {"train": 20, "val": 4, "test": 1000}
        return choose_caching(job.config, job.plan, job.shapes, job.preprocessing, **counts, budget=room)

    image = CHANNELS * 8 * 8 * 4
    without, beside = caching(24 * image), caching(1024 * image)
    assert (without.splits, without.test, without.total) == ((SplitPoint(3),), False, 24 * image)
    assert (beside.splits, beside.test, beside.total) == ((SplitPoint(3),), True, 1024 * image)
    assert without.signature == beside.signature
    assert not caching(10**12, "gradual").test, "the last phase trains what the first one caches"


def test_numbers_that_half_precision_cannot_hold_are_refused(config: FinetuneConfig, catalog: Catalog) -> None:
    job = prepare(replace(config, strategy="head-only", cache_dtype="float16"), catalog)
    with torch.no_grad():
        job.model.backbone.stage("stem").get_submodule("1").weight.mul_(1e9)
    with pytest.raises(TrainingError, match="numbers that float16 cannot hold. Give --cache-dtype bfloat16"):
        run_job(job, NullCallback())


def test_what_is_kept_already_has_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a second run, or one that goes on, would find too little room for what the first one kept, and keep nothing."""
    with Store(tmp_path / "cache" / "features" / "key", np.uint8) as store:
        store.add([b"0" * 16], [np.zeros((1, 10, 100), np.uint8)])
    kept = 1000 + ENTRY.itemsize + 2 * HEADER_BYTES
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10_000, 9_000, 500))
    assert cache_budget(1.0) == 400 + kept
    assert cache_budget(1e-6) == 1000


def test_a_full_disk_keeps_what_a_run_needs_and_gives_up_what_it_does_not(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: what was used least recently went first, the run's own features."""
    run(config, catalog, strategy="head-only")
    (own,) = cache_dir().glob("features/*/rows")
    number = own.stat().st_ino
    run(config, catalog, strategy="last:3", seed=7)
    (others,) = set(cache_dir().glob("features/*/rows")) - {own}
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9, 0))
    _, result = run(config, catalog, strategy="head-only")
    assert result.num_computed == 0
    os.utime(own.parent, (0, 0))
    job, _ = run(config, catalog, strategy="gradual")
    assert len(set(job.caching.splits)) > 2, job.caching
    assert own.stat().st_ino == number
    assert not others.exists()


BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 10), ("bfloat16", 7)])
def test_half_precision_keeps_what_was_computed_rounded(
    config: FinetuneConfig, catalog: Catalog, dtype: CacheType, bits: int
) -> None:
    """bfloat16 also where numbers are larger than float16 can hold."""
    found = {}
    for kind in ("float32", dtype):
        job = prepare(replace(config, strategy="head-only", cache_dtype=kind), catalog)
        with torch.no_grad():
            job.model.backbone.stage("layer3").get_submodule("bn").weight.fill_(1e6 if dtype == "bfloat16" else 1e2)
        run_job(job, NullCallback())
        entry = job.backbone.entry
        identity = f"{entry.distribution} {entry.version} {job.backbone}"
        keys = prefix_keys(job.model, job.preprocessing, identity, job.device)
        features = FeatureCache(cache_dir(), "", job.shapes, "none", kind, job.device, 1, keys)
        (cut,) = job.caching.splits
        train = Batches(job.source.parts["train"], job.preprocessing, 8, 1)
        found[kind], _ = next(
            features.cached(cut, train, 1).batches([[(index, 0) for index in range(len(train.part))]])
        )
        features.close()
        files = [path.stat().st_size - HEADER_BYTES for path in cache_dir().glob("features/*/rows")]
        assert job.caching.total == sum(files) == (20 * BYTES[kind] + 4 * BYTES["float32"]) * CHANNELS
        shutil.rmtree(cache_dir())
    exact, kept = found["float32"], found[dtype]
    assert (exact.abs().max() > 65504) == (dtype == "bfloat16")
    assert 0 < (kept - exact).abs().div(exact.abs() + 1e-9).max() <= 2.0 ** -(bits + 1)


def test_validation_features_are_kept_exactly(config: FinetuneConfig, catalog: Catalog) -> None:
    """Seen to fail: rounded like the others, they chose the best epoch by other answers than those of the network."""
    _, rounded = run(config, catalog, strategy="head-only", cache_dtype="float16")
    _, exact = run(config, catalog, strategy="head-only", cache_dtype="float32")
    assert (rounded.num_computed, exact.num_computed) == (20 + 4, 20), "those of the 4 validation images are the same"


def test_the_prefix_is_made_once_for_rounded_and_exact_features(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[FrozenPrefix] = []
    monkeypatch.setattr(
        FrozenPrefix,
        "__init__",
        lambda self, *given, own=FrozenPrefix.__init__, **named: made.append(self) or own(self, *given, **named),
    )
    run(config, catalog, strategy="head-only", cache_dtype="float16")
    assert len(made) == 1


def test_rounded_features_of_training_images_are_not_read_for_validation(
    config: FinetuneConfig, catalog: Catalog
) -> None:
    """Seen to fail where they were taken for a cache of earlier versions."""
    config = replace(config, strategy="head-only", cache_dtype="float16")
    run(config, catalog, val_share=0.2)
    _, other = run(config, catalog, val_share=0.5)
    assert other.num_computed == 8, "of the 12 validation images 4 were that before, the others trained"


def test_a_cache_with_rounded_validation_features_is_read_as_it_is(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions stored them beside those of training images."""
    config = replace(config, strategy="head-only", cache_dtype="float16")
    with monkeypatch.context() as before:
        before.setattr(InputPlanner, "_rounded", lambda self, splits, val: True)
        _, first = run(config, catalog)
    (folder,) = cache_dir().glob("features/*")
    _, second = run(config, catalog)
    assert (first.num_computed, second.num_computed) == (24, 0)
    assert list(cache_dir().glob("features/*")) == [folder]
    losses = [[epoch.val_loss for epoch in result.trained.epochs] for result in (first, second)]
    assert losses[0] == losses[1]


def test_a_stage_folds_to_the_same_function(catalog: Catalog) -> None:
    torch.manual_seed(0)
    from zoo_core.library import create_model

    model = create_model("resnet18", num_classes=2, weights="none", catalog=catalog).eval()
    for name, buffer in model.backbone.named_buffers():
        if "running" in name:
            buffer.copy_(torch.rand(buffer.shape) + 0.5)
    inputs = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        for name in model.backbone.stages:
            stage = model.backbone.stage(name)
            quick = folded(stage)
            assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in quick.modules())
            assert torch.allclose(quick(inputs), stage(inputs), rtol=1e-4, atol=1e-4)
            inputs = stage(inputs)


def test_the_front_is_computed_in_groups_of_one_size(
    config: FinetuneConfig, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    real = FrozenPrefix.forward
    monkeypatch.setattr(
        FrozenPrefix, "forward", lambda self, inputs, start: sizes.append(len(inputs)) or real(self, inputs, start)
    )
    run(config, catalog, strategy="head-only")
    assert sizes == [CPU_GROUP] * 3  # 24 images
    sizes.clear()
    run(config, catalog, strategy="head-only", data=str(make_photos(tmp_path / "fewer", count=11, size=50)))
    assert sizes == [CPU_GROUP] * 3  # 22, and the last group is filled up


def test_keys_grow_stage_by_stage(config: FinetuneConfig, catalog: Catalog) -> None:
    job = prepare(config, catalog)
    before = prefix_keys(job.model, job.preprocessing, "x", job.device)
    with torch.no_grad():
        next(iter(job.model.backbone.stage("layer3").parameters())).add_(1)
    after = prefix_keys(job.model, job.preprocessing, "x", job.device)
    same = {cut.stages for cut in before if before[cut] == after[cut]}
    assert same == {1, 2, 3}
    assert set(prefix_keys(job.model, job.preprocessing, "y", job.device).values()).isdisjoint(after.values())


def test_everything_that_decides_a_feature_gives_another_key(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepare(config, catalog)

    def names(preprocessing: Preprocessing = job.preprocessing, identity: str = "x") -> set[str]:
        return {key.name for key in prefix_keys(job.model, preprocessing, identity, job.device).values()}

    found = [names(), names(identity="y"), names(replace(job.preprocessing, size=job.preprocessing.size + 1))]
    for name, value in (("READER", "other rules"), ("VERSION", -1), ("code_digest", lambda files: "other code")):
        with monkeypatch.context() as patched:
            patched.setattr(keys_module, name, value)
            found.append(names())
    assert len(set().union(*found)) == sum(map(len, found))


@pytest.mark.parametrize("numbers", [10, 2**18])
def test_each_tensor_counts_in_its_place(numbers: int) -> None:
    """Threads hash those of 1 MiB and more."""
    stage = nn.ParameterList([torch.zeros(numbers), torch.ones(numbers), torch.ones(numbers)])
    model = Model(Chain({"only": stage}), nn.Linear(1, 1))

    def name() -> str:
        preprocessing = Preprocessing(size=2, mean=(0.5,), std=(0.5,))
        return prefix_keys(model, preprocessing, "x", torch.device("cpu"))[SplitPoint(1)].name

    names = [name(), name()]
    with torch.no_grad():
        stage[0].fill_(1)
        stage[1].fill_(0)
        names.append(name())
        stage[2][-1] = 2
        names.append(name())
    assert names[0] == names[1]
    assert len(set(names)) == 3


@pytest.mark.parametrize(
    ("strategy", "augment", "given", "views"),
    [
        ("head-only", "crop-flip", None, 1),
        ("lp-ft", "crop-flip", None, 1),
        ("last:1", "crop-flip", None, 3),  # no more than there are epochs
        ("last:1", "flip", None, 2),
        ("last:1", "none", None, 1),
        ("head-only", "crop-flip", 2, 2),
        ("head-only", "crop-flip", 0, 0),
        ("full", "crop-flip", None, 0),
    ],
)
def test_the_views_follow_from_the_plan_unless_somebody_says(
    config: FinetuneConfig, catalog: Catalog, strategy: str, augment: str, given: int | None, views: int
) -> None:
    job = prepare(replace(config, strategy=strategy, augment=augment, views=given), catalog)
    assert job.caching.views == views


class Recording(NullCallback):
    """Notes what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize("kind", ["features", "pixels"])
def test_damaged_arrays_are_made_anew_and_it_is_said_once(config: FinetuneConfig, catalog: Catalog, kind: str) -> None:
    """Seen to fail with one changed byte in `rows`: other weights, exit 0, and not a word."""
    config = replace(config, strategy="head-only" if kind == "features" else "full", epochs=2)
    first, _ = run(config, catalog)
    (rows,) = cache_dir().glob(f"{kind}/*/rows")
    data = bytearray(rows.read_bytes())
    for place in range(HEADER_BYTES, len(data), len(data) // 3):
        data[place] ^= 0x40
    rows.write_bytes(data)
    second, result = run(config, catalog)
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], tensor), name
    assert result.num_computed == (3 if kind == "features" else 0)
    assert run(config, catalog)[1].num_computed == 0
    data[HEADER_BYTES] ^= 0x40
    rows.write_bytes(data)
    hearing = Recording()
    run(config, catalog, hearing)
    assert len([text for text in hearing.said if "damaged" in text]) == 1


def test_features_are_the_same_whatever_is_computed_with_them(catalog: Catalog, tmp_path: Path) -> None:
    """Alone, in a full group and in the last one, to the bit. Seen to fail with greyscale images, whose last group had
    another layout in memory."""
    from zoo_core.library import create_model

    generator = np.random.default_rng(0)
    for name, channels in (("lenet5", 1), ("norms", 3)):
        torch.manual_seed(0)
        model = create_model(name, num_classes=2, weights="none", catalog=catalog)
        pixels = generator.integers(0, 255, (11, 32, 32) if channels == 1 else (11, 32, 32, 3), dtype=np.uint8)
        preprocessing = Preprocessing(size=32, mean=(0.5,) * channels, std=(0.5,) * channels)
        split = SplitPoint(len(model.backbone.stages), pooled=True)
        found = []
        for numbers in (range(11), *([number] for number in range(11))):
            images = ArrayImages("numbers", pixels[list(numbers)])
            batches = Batches(Part(images, np.zeros(len(numbers), np.int64)), preprocessing, 8, 1)
            key = FeatureKey(f"{name} {len(found)}")
            keys = {SplitPoint(number): key for number in range(1, split.stages)} | {split: key}
            keys[SplitPoint(split.stages)] = FeatureKey("nothing")
            features = FeatureCache(tmp_path, "", {split: (1,)}, "none", "float32", torch.device("cpu"), 1, keys)
            items = CacheItems(((batches, 1),))
            features.build(
                lambda model=model, split=split: FrozenPrefix(model, [split]), [split], items, World(), lambda *_: None
            )
            entries, _ = features.store(split).find(features.key(*item) for item in items)
            found.append(features.store(split).read(entries))
            features.close()
        together, *alone = found
        for one, (other,) in zip(together, alone, strict=True):
            assert np.array_equal(one, other), name


class InPlace(torch.nn.Module):
    """Begins as many stages do that SiLU(inplace=True) follows."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.silu(inputs, inplace=True) * 2


def test_a_stage_that_begins_in_place_changes_nothing_that_is_cached_or_trained_on(catalog: Catalog) -> None:
    """Reported: the features at the split point before it were its own, and recomputed gradients were wrong."""
    from zoo_core.library import create_model

    torch.manual_seed(0)
    model = create_model("lenet5", num_classes=2, weights="none", catalog=catalog)
    last = model.backbone.stages[-1]
    real = model.backbone.stage(last)
    setattr(model.backbone, last, torch.nn.Sequential(InPlace(), real))
    model.apply_rules(dict.fromkeys((*model.backbone.stages, "head"), TRAINABLE))
    images = torch.rand(8, 1, 32, 32)
    depth = len(model.backbone.stages)
    splits = [SplitPoint(depth - 1), SplitPoint(depth)]
    found = FrozenPrefix(model, splits)(images)
    (alone,) = FrozenPrefix(model, splits[:1])(images).values()
    assert torch.equal(found[splits[0]], alone)
    gradients = []
    model.train()
    for recompute in (False, True):
        tail = Tail(model, splits[0], recompute=recompute)
        features = alone.clone()
        tail.zero_grad()
        tail(features).sum().backward()
        assert torch.equal(features, alone)
        gradients.append([parameter.grad.clone() for parameter in tail.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other)


def test_features_that_are_stored_are_not_stored_again_where_another_cut_lacks_its_own(
    config: FinetuneConfig, catalog: Catalog
) -> None:
    """Seen to fail: each image that one cut lacked was added to all cuts of the pass."""
    run(config, catalog, strategy="last:2", cache_dtype="float16")
    run(config, catalog, strategy="gradual", epochs=4, cache_dtype="float16")
    stores = list((cache_dir() / "features").rglob("rows"))
    assert len(stores) > 2
    for rows in stores:
        entries = np.frombuffer((rows.parent / "index").read_bytes()[HEADER_BYTES:], ENTRY)
        assert len(np.unique(entries["key"], axis=0)) == len(entries), rows


def test_the_keys_are_those_of_the_first_process(
    config: FinetuneConfig, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: code that cannot be compared had a key of its own in each process."""
    job = prepare(replace(config, strategy="head-only"), catalog)
    planner = make_planner(job, World(), lambda text: None)
    with monkeypatch.context() as another:
        another.setattr(World, "broadcast_object", lambda self, names: dict.fromkeys(names, "0" * 32))
        planner.enter(0, lambda done, total: None)
    assert {key.name for key in planner.features.keys.values()} == {"0" * 32}
    planner.close()


def test_products_that_a_program_makes_less_exact_change_no_feature(config: FinetuneConfig, catalog: Catalog) -> None:
    run(config, catalog, strategy="head-only")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        _, less_exact = run(config, catalog, strategy="head-only")
    finally:
        torch.set_float32_matmul_precision(before)
    assert less_exact.num_computed == 0


def test_no_store_stays_open_after_a_training(config: FinetuneConfig, catalog: Catalog) -> None:
    """Seen to fail: that of resized images did, and could not be removed for another one."""
    run(config, catalog, strategy="full", epochs=2)
    (store,) = (cache_dir() / "pixels").iterdir()
    assert remove_store(store)
