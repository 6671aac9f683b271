"""The decisions about settings that were left open: their rules, their reasons, and where they are written down."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import zoo_core
from helpers import Zoo, resolved
from zoo_core.builtin import FittedOptions
from zoo_core.catalog import Catalog
from zoo_core.data import decode
from zoo_core.data.sources import ArrayImages, FolderImages, Part, Source
from zoo_core.model.shapes import stage_shapes
from zoo_core.model.solvers import logreg
from zoo_core.runs.card import cached_in_words, decision_lines
from zoo_core.runs.differences import differences
from zoo_core.runs.directory import read_facts
from zoo_core.settings import FinetuneConfig, ResolvedSettings
from zoo_core.training.defaults import (
    default_augment,
    default_base_lr,
    default_epochs,
    default_strategy,
    is_enlarged,
    reason_to_train_only_a_head,
    usual_side,
)
from zoo_core.training.job import prepare
from zoo_core.training.resolve import resolve_settings
from zoo_core.weights_specs import Preprocessing

PREPROCESSING = Preprocessing(size=224, mean=(0.5,) * 3, std=(0.5,) * 3)
RESNET50 = 23_500_000


def part(count: int, side: int) -> Part:
    pixels = np.broadcast_to(np.uint8(0), (count, side, side, 3))
    return Part(ArrayImages("some", pixels), np.zeros(count, np.int64))


def test_the_more_images_the_more_of_a_pretrained_backbone_is_trained() -> None:
    assert default_strategy(226, 3_400_000, pretrained=True) == (
        "head-only",
        "226 images are few for 3.4 M parameters",
    )
    chosen = [default_strategy(images, RESNET50, pretrained=True)[0] for images in (1099, 1100, 234_999)]
    assert chosen == ["head-only", "last:2", "last:2"]
    assert default_strategy(235_000, RESNET50, pretrained=True) == (
        "full",
        "235,000 images are many for 23.5 M parameters",
    )
    shares = [default_base_lr(images, RESNET50, pretrained=True)[0] for images in (234_999, 235_000)]
    assert shares == [0.1, 0.2]


def test_many_classes_need_as_many_images_each_before_stages_are_trained() -> None:
    chosen = [default_strategy(images, RESNET50, pretrained=True, classes=50)[0] for images in (5499, 5500)]
    assert chosen == ["head-only", "last:2"]


@pytest.mark.parametrize(
    ("head", "device", "backbone", "images", "reason"),
    [
        ("linear", "cpu", "resnet50", 360, ""),
        ("linear", "cpu", "resnet50", 1100, "to fine-tune with 1,100 images takes long on a CPU"),
        ("linear", "cuda", "resnet50", 200_000, ""),
        ("linear", "cpu", "lenet5", 60_000, ""),
        ("logreg", "cuda", "lenet5", 60_000, "such a head is solved, on frozen features"),
    ],
)
def test_heads_that_are_solved_and_slow_machines_keep_the_last_stages_frozen(
    catalog: Catalog, head: str, device: str, backbone: str, images: int, reason: str
) -> None:
    built = logreg(FittedOptions(), in_channels=4, num_outputs=2) if head == "logreg" else nn.Linear(4, 2)
    spec = catalog.backbone(backbone).spec
    assert reason_to_train_only_a_head(built, torch.device(device), spec, images, PREPROCESSING) == reason
    expected = "head-only" if reason else "last:2"
    assert default_strategy(1200, RESNET50, pretrained=True, only_head=reason)[0] == expected


def test_a_backbone_of_few_stages_is_trained_whole() -> None:
    assert default_strategy(1200, RESNET50, pretrained=True, stages=2)[0] == "full"


@pytest.mark.parametrize(
    ("images", "classes", "expected"),
    [
        (499, 2, "head-only"),
        (500, 2, "full"),
        (500, 20, "head-only"),
        (1000, 20, "full"),
        (5000, 2, "full"),
    ],
)
def test_images_that_are_enlarged_need_fewer_before_everything_is_trained(
    images: int, classes: int, expected: str
) -> None:
    assert default_strategy(images, RESNET50, pretrained=True, classes=classes, enlarged=True)[0] == expected


@pytest.mark.parametrize(
    ("images", "expected"), [(400, "head-only"), (1500, "full"), (3000, "last:2"), (4000, "head-only")]
)
def test_small_images_are_fine_tuned_as_far_as_a_cpu_affords(images: int, expected: str, catalog: Catalog) -> None:
    """Seen to fail: where everything took too long, the last stages stayed frozen, too."""
    source = Source("small", ("a", "b"), {"train": part(images, 28), "val": part(10, 28)})
    spec = catalog.backbone("efficientnet_lite0").spec
    model = zoo_core.create_model(backbone="efficientnet_lite0", head="linear", num_classes=2, weights="none")
    found = resolve_settings(
        FinetuneConfig(backbone="efficientnet_lite0"),
        catalog,
        model,
        backbone=spec,
        source=source,
        preprocessing=spec.preprocessing,
        shapes=stage_shapes(model.backbone, 3, spec.preprocessing.size),
        pretrained=True,
        device=torch.device("cpu"),
        budget=10**9,
    )
    assert found.settings.strategy == expected


def test_the_longer_side_counts_where_images_are_padded() -> None:
    """Seen to fail: long narrow images counted as small, although their longer side fills the input."""
    long = Part(ArrayImages("some", np.zeros((5, 60, 300, 3), np.uint8)), np.zeros(5, np.int64))
    assert is_enlarged(long, PREPROCESSING)
    assert not is_enlarged(long, replace(PREPROCESSING, fit="pad"))


def test_images_are_enlarged_where_the_input_has_more_than_twice_their_pixels_along_a_side() -> None:
    half = PREPROCESSING.size // 2
    assert [is_enlarged(part(5, side), PREPROCESSING) for side in (half - 1, half)] == [True, False]


def test_from_scratch_everything_is_trained() -> None:
    assert default_strategy(50, RESNET50, pretrained=False) == ("full", "the backbone starts from scratch")
    assert default_base_lr(50, RESNET50, pretrained=False) == (0.2, "the backbone starts from scratch")


def test_small_images_are_flipped_and_large_ones_cropped() -> None:
    assert default_augment(part(5, 255), PREPROCESSING)[0] == "flip"
    assert default_augment(part(5, 256), PREPROCESSING)[0] == "crop-flip"


def test_the_size_of_large_photographs_is_found_without_decoding_all_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: nine photographs of 12 megapixels were decoded whole, which takes 0.9 s in place of 0.5."""
    Image.new("RGB", (2400, 1600)).save(tmp_path / "photo.jpg")
    decoded: list[tuple[int, int]] = []
    upright = decode.upright
    monkeypatch.setattr(decode, "upright", lambda image: decoded.append(image.size) or upright(image))
    photo = Part(FolderImages(tmp_path, ("photo.jpg",)), np.zeros(1, np.int64))
    assert usual_side(photo, PREPROCESSING) == 1600
    assert usual_side(photo, replace(PREPROCESSING, fit="pad")) == 2400
    assert decoded == [(300, 200)] * 2


def test_epochs_are_many_where_they_cost_next_to_nothing(catalog: Catalog) -> None:
    spec = catalog.backbone("resnet50").spec
    assert default_epochs("full", spec, 50, PREPROCESSING)[0] == 30
    assert default_epochs("full", spec, 99, PREPROCESSING)[0] == 10
    assert default_epochs("head-only", spec, 10**6, PREPROCESSING)[0] == 30
    assert default_epochs("full", replace(spec, gmacs=None), 1, PREPROCESSING)[0] == 10


@pytest.mark.parametrize("name", [one.name for one in fields(ResolvedSettings) if one.name != "out"])
@pytest.mark.parametrize("value", [None, "auto"])
def test_resolved_settings_hold_no_none_and_no_auto(name: str, value: str | None) -> None:
    with pytest.raises(Exception, match=f"the setting '{name}' is not decided|{name} must be"):
        resolved(**{name: value})


def test_every_open_setting_of_a_job_is_decided_with_a_reason(catalog: Catalog, photos: Path) -> None:
    config = FinetuneConfig(backbone="lenet5", data=str(photos), lr="auto", batch_size="auto")
    job = prepare(config, catalog)
    asked = config.to_dict()
    undecided = {"out", "threads"}  # torch's own number of threads is no decision
    left_open = {name for name, value in asked.items() if value in (None, "auto") and name not in undecided}
    assert set(job.decisions) == left_open
    assert all(decision.because for decision in job.decisions.values())
    given = {name: value for name, value in asked.items() if name not in left_open | undecided}
    assert {name: getattr(job.settings, name) for name in given} == given
    assert (job.settings.lr_search, job.settings.batch_size, job.settings.micro_batch) == ("range test", 32, 32)


def test_given_settings_are_left_alone(catalog: Catalog, photos: Path) -> None:
    given = {"strategy": "last:2", "augment": "none", "epochs": 3, "base_lr": 0.5, "micro_batch": 2, "patience": 1}
    job = prepare(FinetuneConfig(backbone="lenet5", data=str(photos), **given), catalog)
    assert {name: getattr(job.settings, name) for name in given} == given
    assert not set(given) & set(job.decisions)


@pytest.mark.parametrize(
    ("given", "views", "points", "reason"),
    [
        ({"strategy": "head-only"}, 1, ("c5 pooled",), "more views bring a head alone no accuracy"),
        (
            {"strategy": "last:1", "augment": "flip"},
            2,
            ("c3",),
            "an image and its mirror image are all the views of flip",
        ),
        ({"strategy": "last:1", "augment": "crop-flip"}, 4, ("c3",), "trained stages see several views"),
        ({"strategy": "last:1", "augment": "none", "views": 3}, 1, ("c3",), "images without augmentation have one"),
        ({"strategy": "full"}, 0, ("none",), "no stage is frozen"),
        ({"strategy": "last:1", "cache_gb": 0}, 0, ("none",), "the cache budget is too small"),
        ({"strategy": "lp-ft", "epochs": 4}, 1, ("c5 pooled", "none"), "more views bring"),
    ],
)
def test_the_views_and_split_points_are_recorded_with_the_reason(
    catalog: Catalog, photos: Path, given: dict[str, object], views: int, points: tuple[str, ...], reason: str
) -> None:
    job = prepare(FinetuneConfig(backbone="lenet5", data=str(photos), **given), catalog)
    facts = job.facts()
    assert (facts.views, facts.split_points) == (views, points)
    assert facts.decisions["views"].value == views
    assert reason in facts.decisions["views"].because


def test_config_json_the_card_and_the_screen_tell_the_decisions(zoo: Zoo, photos: Path, tmp_path: Path) -> None:
    done = zoo("finetune", "--backbone", "lenet5", "--data", photos, "--lr", "auto", "--epochs", 1, "--out", "run")
    assert done.returncode == 0, done.stderr
    lines = ["strategy: head-only, because 16 images are few for 50.7 k parameters", "cached-views: 1, because"]
    card = (tmp_path / "run" / "README.md").read_text()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    for line in lines:
        assert line in done.stderr
        assert line in card
    told = config["decisions"]["strategy"]
    assert told == {"value": "head-only", "because": "16 images are few for 50.7 k parameters"}
    assert (config["views"], config["split_points"]) == (1, ["c5 pooled"])
    assert done.stderr.index(lines[0]) < done.stderr.index("train loss")
    assert "Features of 1 view of each image were cached after c5 pooled." in card
    found = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])["lr"]
    assert f"peak learning rate {found:.2g} (by a range test)" in card
    assert "auto" not in card


def test_a_run_of_before_has_no_decisions_and_is_resumed(catalog: Catalog, photos: Path, tmp_path: Path) -> None:
    """Seen to fail: with the new fields compared, every run of an older zoo was refused."""
    job = prepare(FinetuneConfig(backbone="lenet5", data=str(photos)), catalog)
    now = job.facts()
    old = now.to_dict()
    for name in ("decisions", "views", "split_points"):
        del old[name]
    (tmp_path / "config.json").write_text(json.dumps(old))
    before = read_facts(tmp_path)
    assert (before.decisions, before.views, before.split_points) == ({}, None, None)
    assert differences(before, now) == []
    assert decision_lines(before.decisions) == []
    assert cached_in_words(before) is None


def test_what_was_decided_is_filled_into_the_config_that_repeats_the_run(catalog: Catalog, photos: Path) -> None:
    config = FinetuneConfig(backbone="lenet5", data=str(photos))
    facts = prepare(config, catalog).facts()
    decided = ("strategy", "epochs", "base_lr", "augment", "precision", "compile", "patience", "lr")
    assert all(getattr(facts.config, name) not in (None, "auto") for name in decided)
    follows = ("task", "size", "views", "micro_batch", "device", "workers", "threads", "out")
    assert all(getattr(facts.config, name) == getattr(config, name) for name in follows)
    again = prepare(facts.config, catalog).facts()
    assert differences(facts, again) == []
