"""Features for everything: a table is the network's own output, computed once for it, for trainings and for commands."""

from __future__ import annotations

import gc
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo_core
from helpers import make_photos
from zoo_core.catalog import Catalog
from zoo_core.data.batches import Batches
from zoo_core.data.generation import HEADER_BYTES
from zoo_core.data.on_device import normalised
from zoo_core.embedding.features import open_source
from zoo_core.errors import DataError, TrainingError, UsageError
from zoo_core.frozen.feature_cache import FeatureCache
from zoo_core.frozen.table import FeatureTable
from zoo_core.library import ONE_AT_A_TIME
from zoo_core.model.assemble import Model

ROUNDING = 2**-11  # of float16, relative to the number
QUICK = zoo_core.FinetuneConfig(backbone="lenet5", strategy="head-only", epochs=1, lr=0.01, patience=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of images in every group that any prefix computes from now on."""
    counts: list[int] = []
    real = FeatureCache._start_prefix

    def counted(cache: FeatureCache, prefix: Any, start: Any, inputs: Any) -> Any:
        counts.append(sum(len(tensor) for _, tensor in inputs))
        return real(cache, prefix, start, inputs)

    monkeypatch.setattr(FeatureCache, "_start_prefix", counted)
    return counts


def features(data: Any, catalog: Catalog, backbone: str | Path = "lenet5", **settings: Any) -> FeatureTable:
    return zoo_core.features(backbone, data, catalog=catalog, device="cpu", **settings)


def forward(model: Model, table: FeatureTable, at: str) -> np.ndarray:
    """The outputs of the network itself for all images, in the order of the source."""
    found = []
    for part in table.source.parts.values():
        batches = Batches(part, model.preprocessing, 8, 1)
        for pixels, _ in batches.in_order():
            outputs = normalised(pixels, model.preprocessing, torch.device("cpu"))
            with torch.inference_mode():
                for stage in model.backbone.stages:
                    outputs = model.backbone.stage(stage)(outputs)
                    if stage == at:
                        break
            found.append(outputs.mean((2, 3)) if at == "pooled" else outputs)
    return torch.cat(found).numpy()


@pytest.mark.parametrize(("at", "shape"), [("pooled", (120,)), ("c1", (6, 14, 14)), ("c5", (120, 1, 1))])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", ROUNDING), ("float32", 1e-5)])
def test_a_table_is_what_the_network_itself_computes(
    photos: Path, catalog: Catalog, at: str, shape: tuple[int, ...], dtype: Any, tolerance: float
) -> None:
    model = zoo_core.create_model("lenet5", num_classes=2, catalog=catalog).eval()
    with features(photos, catalog, at=at, cache_dtype=dtype) as table:
        expected = forward(model, table, at)
        assert table.shape == (20, *shape)
        assert np.allclose(np.asarray(table), expected, rtol=tolerance, atol=1e-5)
        assert np.asarray(table).dtype == table[0].dtype == np.float32
        for which in (3, -1, slice(2, 9, 3), [5, 0], np.arange(20) > 17, slice(0, 0)):
            assert np.array_equal(table[which], np.asarray(table)[which])
        assert [one.shape for one in table] == [shape] * 20
        with pytest.raises(IndexError):
            table[20]
    with pytest.raises(UsageError, match="closed"):
        table[0]


def test_rows_stand_in_the_order_of_the_source_with_everything_that_is_known(tmp_path: Path, catalog: Catalog) -> None:
    for part, count in (("train", 3), ("val", 2), ("test", 1)):
        make_photos(tmp_path / "photos" / part, count=count, size=32 + count)
    with features(tmp_path / "photos", catalog) as table:
        counts = {part: [one for one in table.paths if one.startswith(part)] for part in ("train", "val", "test")}
        assert {part: len(paths) for part, paths in counts.items()} == {"train": 6, "val": 4, "test": 2}
        assert all(paths == sorted(paths) for paths in counts.values())
        assert [table.classes[target] for target in table.targets] == [path.split("/")[1] for path in table.paths]
        assert list(table.parts) == [path.partition("/")[0] for path in table.paths]
        for index in (0, 7, 11):  # alone, an image has the same row
            with features([tmp_path / "photos" / table.paths[index]], catalog) as alone:
                assert (alone.num_computed, alone.digests) == (0, (table.digests[index],))
                assert np.array_equal(alone[0], table[index])


@pytest.mark.parametrize("first", ["float16", "float32"])
def test_each_image_is_computed_once_for_tables_and_trainings_of_any_split(
    photos: Path, tmp_path: Path, catalog: Catalog, computed: list[int], first: Any
) -> None:
    with features(photos, catalog, cache_dtype=first) as table:
        assert (table.num_computed, sum(computed)) == (20, 20)
    for seed in (0, 1):  # other images are held out
        config = replace(QUICK, data=str(photos), seed=seed, out=str(tmp_path / f"run{seed}"))
        assert zoo_core.finetune(config, catalog=catalog).num_computed == 0
    for again in ("lenet5", tmp_path / "run0"):  # the base of a run whose base was frozen is the same
        for dtype in ("float16", "float32"):
            with features(photos, catalog, again, cache_dtype=dtype) as table:
                assert table.num_computed == 0
    assert sum(computed) == 20


def test_after_a_training_nothing_is_computed_and_the_numbers_are_those_of_a_new_cache(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo_core.finetune(replace(QUICK, data=str(photos), out=str(tmp_path / "run")), catalog=catalog)
    with features(photos, catalog) as table:
        assert table.num_computed == 0
        found = np.asarray(table)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "new"))
    with features(photos, catalog) as table:
        assert table.num_computed == 20
        assert np.array_equal(np.asarray(table), found)


def test_an_exact_cache_that_was_evicted_is_made_anew(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    """Seen to fail: the rounded features that a table left passed for those of an older zoo, and were validated on."""
    features(photos, catalog).close()
    (exact,) = (tmp_path / "cache" / "features").glob("*-float32")
    shutil.rmtree(exact)
    trained = zoo_core.finetune(replace(QUICK, data=str(photos), out=str(tmp_path / "run")), catalog=catalog)
    assert (trained.num_computed, exact.is_dir()) == (4, True)


def test_exact_features_that_are_damaged_are_computed_anew(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    """Seen to fail: where some of them were proven, a damaged other one ended every training."""
    features(photos, catalog).close()
    (exact,), (rounded,) = ((tmp_path / "cache" / "features").glob(f"*-float{bits}") for bits in (32, 16))
    shutil.rmtree(rounded)
    rows = bytearray((exact / "rows").read_bytes())
    for place in range(HEADER_BYTES, len(rows), 64):
        rows[place] ^= 1
    (exact / "rows").write_bytes(rows)
    config = replace(QUICK, data=str(photos), out=str(tmp_path / "run"))
    assert zoo_core.finetune(config, catalog=catalog).num_computed == 20


def test_several_views_are_those_that_a_training_of_later_stages_reads(
    photos: Path, tmp_path: Path, catalog: Catalog
) -> None:
    with features(photos, catalog, at="c3", views=4, augment="crop-flip") as table:
        assert (table.shape[:2], table.num_computed) == ((20, 4), 80)
        views = np.asarray(table)
    with features(photos, catalog, at="c3") as table:
        assert table.num_computed == 0
        assert np.array_equal(np.asarray(table), views[:, 0])
        assert not np.allclose(views[:, 1], views[:, 0])
    config = replace(QUICK, data=str(photos), strategy="last:1", augment="crop-flip", views=4, epochs=4)
    assert zoo_core.finetune(replace(config, out=str(tmp_path / "run")), catalog=catalog).num_computed == 0


def test_a_runs_features_are_those_of_its_own_base(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    config = replace(QUICK, data=str(photos), strategy="full", out=str(tmp_path / "run"), head="mlp:4,pool=max")
    run = zoo_core.finetune(config, catalog=catalog).directory
    with features(photos, catalog, run, at="c5") as trained, features(photos, catalog, at="c5") as pretrained:
        network = zoo_core.load(run, catalog=catalog).network
        assert np.allclose(np.asarray(trained), forward(network, trained, "c5"), rtol=ROUNDING, atol=1e-5)
        assert not np.allclose(np.asarray(trained), np.asarray(pretrained), atol=0.01)
    with features(photos, catalog, run, size=64) as table:  # c5 is a map of several places then
        assert table.shape == (20, 120)
        with features(photos, catalog, run, size=64, at="c5") as maps:
            assert np.allclose(np.asarray(table), np.asarray(maps).max((2, 3)), rtol=2 * ROUNDING)


def test_images_need_no_labels(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    with features(photos, catalog) as table:
        rows = dict(zip(table.digests, np.asarray(table), strict=True))
    (tmp_path / "flat").mkdir()
    for number, path in enumerate(sorted(photos.rglob("*.*"))):
        path.rename(tmp_path / "flat" / f"{number:02}{path.suffix}")
    flat = sorted((tmp_path / "flat").iterdir())
    (tmp_path / "paths.csv").write_text("path\n" + "".join(f"flat/{path.name}\n" for path in flat))
    (tmp_path / "one" / "class").mkdir(parents=True)
    (tmp_path / "one" / "class" / flat[-1].name).write_bytes(flat[-1].read_bytes())
    (tmp_path / "one" / flat[0].name).write_bytes(flat[0].read_bytes())
    for data, count in ((tmp_path / "flat", 20), (tmp_path / "paths.csv", 20), (flat, 20), (tmp_path / "one", 2)):
        with features(data, catalog) as table:
            assert (len(table), table.num_computed, table.classes) == (count, 0, ())
            assert (table.targets.shape, set(table.parts)) == ((count, 0), {"train"})
            assert all(np.array_equal(row, rows[digest]) for row, digest in zip(table, table.digests, strict=True))
    with Image.open(flat[1]) as image, features([image, np.asarray(image)], catalog) as table:
        assert table.num_computed == 1, "the pixels of both are the same"
        assert np.array_equal(table[0], table[1])
    with pytest.raises(DataError, match="has no class folder"):  # a training needs them
        zoo_core.finetune(replace(QUICK, data=str(tmp_path / "flat")), catalog=catalog)


def test_folders_of_parts_are_parts_without_labels_too(photos: Path, tmp_path: Path, catalog: Catalog) -> None:
    for number, place in enumerate(("a.png", "train/b.png", "test/d.png")):
        (tmp_path / "flat" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / "red" / f"{2 * number + 1}.png", tmp_path / "flat" / place)

    def parts() -> dict[str, list[str]]:
        found = open_source(replace(QUICK, data=str(tmp_path / "flat")), catalog).parts
        return {name: [part.images.name(index) for index in range(len(part))] for name, part in found.items()}

    assert parts() == {"train": ["a.png", "train/b.png"], "test": ["test/d.png"]}
    (tmp_path / "flat" / "train").rename(tmp_path / "flat" / "val")
    assert parts() == {"train": ["a.png"], "val": ["val/b.png"], "test": ["test/d.png"]}


def test_fewer_than_two_classes_with_images_are_no_labels(photos: Path, catalog: Catalog) -> None:
    (photos / "raw").mkdir()
    config = replace(QUICK, data=str(photos))
    with pytest.raises(DataError, match="the class 'raw' has no images"):  # two classes are labels
        open_source(config, catalog)
    shutil.rmtree(photos / "blue")
    assert len(open_source(config, catalog).parts["train"]) == 10
    for path in (photos / "red").iterdir():
        path.rename(photos / path.name)
    (photos / "red").rmdir()
    source = open_source(config, catalog)
    assert (source.classes, len(source.parts["train"])) == ((), 10)
    with pytest.raises(DataError, match="the class 'raw' has no images"):  # a training needs them
        zoo_core.finetune(config, catalog=catalog)


def test_a_table_holds_no_network(photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: the keys of its cache did, for the names that zoo 0.1.0 gave."""
    built: list[weakref.ref[Model]] = []
    real = Model.__init__
    monkeypatch.setattr(Model, "__init__", lambda self, *given: built.append(weakref.ref(self)) or real(self, *given))
    table = features(photos, catalog)
    gc.collect()
    assert [own() for own in built] == [None]
    assert len(table) == 20
    table.close()


def test_a_table_leaves_the_callers_random_numbers_alone(photos: Path, catalog: Catalog) -> None:
    states = torch.get_rng_state()
    features(photos, catalog, weights="none").close()
    assert torch.equal(torch.get_rng_state(), states)
    with ThreadPoolExecutor(1) as pool:
        with ONE_AT_A_TIME:  # as a fine-tune has it
            table = pool.submit(features, photos, catalog)
            with pytest.raises(TimeoutError):
                table.result(timeout=0.2)
        table.result().close()


def test_broken_images_are_named_or_left_out(photos: Path, catalog: Catalog) -> None:
    (photos / "red" / "0.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match="red/0.jpg .*\n.*add --bad-images skip"):
        features(photos, catalog)
    with features(photos, catalog, bad_images="skip") as table:
        assert (len(table), table.source.skipped) == (19, 1)
    several = [photos / "red" / "0.jpg", photos / "red" / "1.png", photos / "absent.png", np.zeros((9, 9), np.uint8)]
    with pytest.raises(DataError, match="2 images in in-memory data .*\n.*red/0.jpg .*\n.*absent.png is not there"):
        features(several, catalog)
    with features(several, catalog, bad_images="skip") as table:
        assert (table.paths, table.source.skipped) == ((str(several[1]), "image 3"), 2)
        assert table.num_computed == 1
    with pytest.raises(DataError, match="absent.png is not there"):
        features(several[2:3], catalog, bad_images="skip")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"at": "poled"}, "'lenet5' has no stage 'poled'. Did you mean 'pooled'\\? Its stages: c1, c3, c5; or pooled"),
        ({"views": 0}, "views must be a whole number of at least 1, got 0"),
        (
            {"views": 3, "augment": "flip"},
            "'flip' an image has 2 views, and 3 are asked for. Give --views 2, or --augment",
        ),
        ({"views": 2, "augment": "none"}, "'none' an image has 1 view, and 2"),
        (
            {"at": "c1", "cache_gb": 1e-6},
            "the features at c1 take .* the cache may take 0.0 MB. Give more with --cache-gb",
        ),
        (
            {"at": "c1", "cache_gb": 1e-4},  # 20 images of 1,176 numbers: 6 bytes each are too many, 4 are not
            "take 0.1 MB, and the cache may take 0.1 MB. Give --cache-dtype float32, which takes 0.1 MB, more with",
        ),
        ({"cache_dtype": "float8"}, "cache_dtype must be one of float16"),
        ({"size": 30}, "--image-size is 30"),
        ({"backbone": "lenet6"}, "lenet6"),
    ],
)
def test_a_wrong_wish_is_answered_with_the_choices(
    photos: Path, catalog: Catalog, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        features(photos, catalog, **settings)


def test_features_that_the_type_cannot_hold_are_refused(
    photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exact features are rounded, so that the limit of float16 is met there as well."""
    from zoo_core.frozen.split import FrozenPrefix

    real = FrozenPrefix.forward
    monkeypatch.setattr(
        FrozenPrefix, "forward", lambda self, *more: {split: 1e6 * one for split, one in real(self, *more).items()}
    )
    with pytest.raises(TrainingError, match="float16 cannot hold. Give --cache-dtype bfloat16"):
        features(photos, catalog)
    with features(photos, catalog, cache_dtype="bfloat16") as table:
        assert table.num_computed == 0
