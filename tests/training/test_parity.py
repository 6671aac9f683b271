"""One figure: what the best epoch was chosen by is what the run reports and what its weights answer.

Seen to fail: with epochs that were measured under autocast, with a frozen front in bfloat16, and with validation features
that were rounded to float16, by which the losses differ.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import zoo_core
from zoo_core.catalog import Catalog
from zoo_core.data.batches import Batches
from zoo_core.data.on_device import normalised
from zoo_core.evaluation import evaluate_run
from zoo_core.runs.directory import read_metrics
from zoo_core.settings import FinetuneConfig, Precision
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.run import Result, run_job

CLASSES = ("blue", "green", "red")
LOSS = 1e-5  # relative: batch normalisation is folded in the frozen front, and groups of images differ in size
CONFIG = FinetuneConfig(
    backbone="norms", weights="none", size=32, epochs=2, batch_size=8, lr=3e-3, augment="none", compile="off"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def hard_photos(tmp_path: Path) -> Path:
    """Photos that a network tells apart no more than half of the time, as PNG, JPEG and WebP, larger than it wants them."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 12)):
        for label, name in enumerate(CLASSES):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (5, 7, 3)).astype(np.float64)
                pixels[..., label] += 40
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).resize((112, 80))
                image.save(folder / f"{number}.{('png', 'jpg', 'webp')[number % 3]}")
    return tmp_path / "photos"


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


def confusion_of_predictions(directory: Path, photos: Path, catalog: Catalog) -> list[list[int]]:
    """The confusion matrix of the likeliest class for each validation photo, as a program asks for it."""
    predictor = zoo_core.load(directory, device="cpu", catalog=catalog)
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for label, name in enumerate(CLASSES):
        for prediction in predictor.predict(sorted((photos / "val" / name).iterdir()), top=1):
            confusion[label, CLASSES.index(prediction.answers[0][0])] += 1
    return confusion.tolist()


CASES = [
    ("head-only", "linear", {}),
    ("last:1", "linear", {}),
    ("full", "linear", {"ema": 0.5}),
    ("head-only", "linear", {"views": 0}),
    ("head-only", "solved", {}),
    ("last:1", "linear", {"views": 0}),
    ("gradual", "linear", {"epochs": 4}),
    ("lp-ft", "linear", {}),
    ("lp-ft", "solved", {}),
]


@pytest.mark.parametrize(
    ("strategy", "head", "changes", "precision"),
    [
        *((*case, "float32") for case in CASES),
        *((*case, "bfloat16") for case in CASES[:3]),
        *(pytest.param(*case, "bfloat16", marks=pytest.mark.whole) for case in CASES[3:]),
    ],
)
def test_epoch_result_evaluation_and_predictions_are_one_figure(
    hard_photos: Path,
    tmp_path: Path,
    catalog: Catalog,
    strategy: str,
    head: str,
    changes: dict[str, object],
    precision: Precision,
) -> None:
    config = replace(CONFIG, strategy=strategy, head=head, precision=precision, **changes)
    result = run(replace(config, data=str(hard_photos), out=str(tmp_path / "run")), catalog)
    *epochs, reported = read_metrics(result.directory)
    best = epochs[reported["best_epoch"] - 1]
    measured = evaluate_run(str(result.directory), data=None, device="cpu", catalog=catalog).evaluation
    assert best["val_score"] == reported["score"] == measured.score
    assert reported["confusion"] == measured.figures()["confusion"]
    assert reported["confusion"] == confusion_of_predictions(result.directory, hard_photos, catalog)
    assert reported["loss"] == pytest.approx(best["val_loss"], rel=LOSS)
    assert measured.loss == pytest.approx(reported["loss"], rel=LOSS)
