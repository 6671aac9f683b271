"""One figure, to the image: the best epoch was chosen by it, the run reports it, and every way to ask the run or its
published copies gives it, for each strategy, precision and kind of image.

Seen to fail: with epochs that were measured under autocast, with a frozen prefix in bfloat16, with validation features
that were rounded to float16 (the losses differ), and behind timm's transform of photos whose longer side timm rounds
otherwise than zoo, by a pixel (here both are 45 pixels).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from click.testing import CliRunner
from huggingface_hub import constants
from PIL import Image
from torch import nn

import zoo_core
from hub.conftest import caches, hub
from hub.support import Caches
from hubserver import TestHub
from zoo_core import catalog as catalogs
from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo as command_line
from zoo_core.cli.running import report
from zoo_core.data.batches import Batches
from zoo_core.data.decode import open_image
from zoo_core.data.on_device import normalised
from zoo_core.discovery import PluginRecord
from zoo_core.hub.bundle import PublishOptions
from zoo_core.hub.publish import publish
from zoo_core.runs.directory import read_metrics
from zoo_core.settings import FinetuneConfig, Precision
from zoo_core.specs import BackboneSpec, FreezeSpec
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.result import Result
from zoo_core.training.run import run_job
from zoo_core.weights_specs import TimmTwin

__all__ = ["caches", "hub"]
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning", "ignore:::timm")

CLASSES = ("blue", "green", "red")
Confusion = list[list[int]]
LOSS = 1e-5  # relative: batch normalisation is folded in the frozen prefix, and groups of images differ in size
CONFIG = FinetuneConfig(
    backbone="twin", weights="none", size=32, epochs=2, batch_size=8, lr=3e-3, augment="none", compile="off"
)
REPO = "alice/one"
ROTATED = Image.Exif()
ROTATED[0x0112] = 6

KINDS: dict[str, Callable[[Image.Image, Path], None]] = {
    "png": lambda image, path: image.save(path.with_suffix(".png")),
    "jpeg": lambda image, path: image.save(path.with_suffix(".jpg")),
    "webp": lambda image, path: image.save(path.with_suffix(".webp")),
    "gif": lambda image, path: image.save(path.with_suffix(".gif")),
    "tiff": lambda image, path: image.save(path.with_suffix(".tiff")),
    "grey": lambda image, path: image.convert("L").save(path.with_suffix(".jpg")),
    "palette": lambda image, path: image.convert("P").save(path.with_suffix(".png")),
    "cmyk": lambda image, path: image.convert("CMYK").save(path.with_suffix(".jpg")),
    "transparent": lambda image, path: _half_transparent(image).save(path.with_suffix(".png")),
    "16 bits": lambda image, path: _sixteen_bits(image).save(path.with_suffix(".png")),
    "rotated": lambda image, path: image.save(path.with_suffix(".jpg"), exif=ROTATED),
    "large": lambda image, path: image.resize((448, 336)).save(path.with_suffix(".jpg")),
}
"""The ways in which an image is written; a large JPEG is decoded at a part of its size."""


def _half_transparent(image: Image.Image) -> Image.Image:
    image.putalpha(128)
    return image


def _sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


@pytest.fixture(scope="session")
def hard_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of every kind that a network tells apart no more than half of the time, larger than it wants them."""
    root, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for part, kinds in (("train", [*KINDS][:8]), ("val", [*KINDS])):
        for label, name in enumerate(CLASSES):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number, kind in enumerate(kinds):
                pixels = generator.integers(0, 256, (5, 7, 3)).astype(np.float64)
                pixels[..., label] += 40
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).resize((112, 84))
                KINDS[kind](image, folder / str(number))
    return root


@pytest.fixture(scope="session")
def with_twin(catalog: Catalog) -> Catalog:
    """A small residual network with batch normalisation that timm has too, and all strategies and heads."""
    spec = catalog.backbone("timm-test_resnet").spec
    twin = replace(spec, name="twin", weights=(), timm=TimmTwin(architecture="test_resnet"))
    others = [record for record in catalog.records if not record.names(BackboneSpec)]
    return Catalog((*others, PluginRecord("zoo-twin", "1", "twin", (twin,))))


@pytest.fixture
def alice(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> TestHub:
    """The Hub, with a user who may publish."""
    hub.add_token("hf_alicestoken", user="alice")
    monkeypatch.setenv("HF_TOKEN", "hf_alicestoken")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    return hub


def run(config: FinetuneConfig, catalog: Catalog) -> Result:
    """A run from random weights whose batch normalisation knows the images, as that of a trained network would: else its
    features were as good as equal, and the folding had nothing to fold."""
    job = prepare(config, catalog)
    norms = [module for module in job.model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # the statistics are those of the images that come next
    train = Batches(job.source.parts["train"], job.preprocessing, 8, 1)
    with torch.no_grad():
        job.model.train()(
            normalised(train.load_batch([(index, 0) for index in range(24)]), job.preprocessing, job.device)
        )
    for norm in norms:
        norm.momentum = 0.1
    return run_job(job, NullCallback())


def confusion_of(images: Iterable[Path], answers: Iterable[str]) -> Confusion:
    """The confusion matrix of the likeliest class for each image, whose folder has the name of its class."""
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for image, answer in zip(images, answers, strict=True):
        confusion[CLASSES.index(image.parent.name), CLASSES.index(answer)] += 1
    return confusion.tolist()


def told_by(*arguments: object) -> Any:
    """The JSON that a command prints."""
    answer = CliRunner().invoke(command_line, [*map(str, arguments), "--json"])
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.stdout)


def answers_of_command(run: Path, images: list[Path]) -> list[str]:
    return [one["answers"][0]["class"] for one in told_by("predict", run, *images)["predictions"]]


def answers_of_library(images: list[Path], catalog: Catalog) -> list[str]:
    predictions = zoo_core.load(REPO, device="cpu", catalog=catalog).predict(images, top=1)
    return [prediction.answers[0][0] for prediction in predictions]


def answers_of_timm(images: list[Path]) -> list[str]:
    """timm's own network from the published repository, behind timm's own transform."""
    network = timm.create_model(f"hf-hub:{REPO}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    batch_BCHW = torch.stack([transform(open_image(image).convert("RGB")) for image in images])
    with torch.inference_mode():
        positions = network(batch_BCHW).argmax(1).tolist()
    return [network.pretrained_cfg["label_names"][position] for position in positions]


CASES = [
    ("head-only", "linear", {}),
    ("last:1", "linear", {}),
    ("full", "linear", {"ema": 0.5}),
    ("lora", "linear", {}),
    ("head-only", "linear", {"views": 0}),
    ("head-only", "solved", {}),
    ("gradual", "linear", {"epochs": 4}),
    ("norm-only", "linear", {}),
    ("last:1", "linear", {"views": 0}),
    ("first:1", "linear", {}),
    ("layerwise", "linear", {}),
    ("lp-ft", "linear", {}),
    ("lp-ft", "solved", {}),
    ("bias-only", "linear", {}),
]
PLAIN = {"float32": 8, "bfloat16": 2}
"""The first cases of each precision, which are no broad product."""


def test_every_strategy_has_a_case(catalog: Catalog) -> None:
    assert {strategy.partition(":")[0] for strategy, *_ in CASES} == {
        entry.spec.name for entry in catalog.entries(FreezeSpec)
    }


@pytest.mark.parametrize(
    ("strategy", "head", "changes", "precision"),
    [
        pytest.param(*case, precision, marks=() if place < plain else pytest.mark.whole)
        for precision, plain in PLAIN.items()
        for place, case in enumerate(CASES)
    ],
)
def test_all_ways_to_a_figure_give_the_same_one(
    hard_photos: Path,
    tmp_path: Path,
    with_twin: Catalog,
    alice: TestHub,
    caches: Caches,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    strategy: str,
    head: str,
    changes: dict[str, object],
    precision: Precision,
) -> None:
    monkeypatch.setattr(catalogs, "open_catalog", lambda **given: with_twin)
    config = replace(CONFIG, strategy=strategy, head=head, precision=precision, **changes)
    result = run(replace(config, data=str(hard_photos), out=str(tmp_path / "run")), with_twin)
    directory = result.directory
    *epochs, reported = read_metrics(directory)
    best = epochs[reported["best_epoch"] - 1]
    publish(directory, REPO, catalog=with_twin, options=PublishOptions(also_timm=True))
    images = sorted((hard_photos / "val").rglob("*.*"))
    measured = told_by("evaluate", directory)
    matrices = {
        "zoo evaluate": measured["confusion"],
        "zoo predict": confusion_of(images, answers_of_command(directory, images)),
        "the library, of the published run": confusion_of(images, answers_of_library(images, with_twin)),
        "the twin": confusion_of(images, answers_of_timm(images)),
    }
    assert matrices == dict.fromkeys(matrices, reported["confusion"])
    right, count = int(np.trace(reported["confusion"])), len(images)
    assert 0 < right < count, "the figure can differ"
    assert best["val_score"] == reported["score"] == right / count
    capsys.readouterr()
    report(result, as_json=False)
    assert f"on the validation images: {100 * right / count:.1f} % ({right} of {count};" in capsys.readouterr().err
    assert reported["loss"] == pytest.approx(best["val_loss"], rel=LOSS)
    assert measured["loss"] == pytest.approx(reported["loss"], rel=LOSS)
