"""All parts of accelerator.py in order of worth: the checks, and the speeds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerator_bench import Bench
from accelerator_checks import AGREEMENTS, CHECKS
from accelerator_speed import (
    batch_by_trial,
    gpu_busy,
    images_a_second_of_timm,
    images_a_second_of_zoo,
    images_a_second_read,
    product,
)

import zoo_core
from zoo_core.catalog import open_catalog
from zoo_core.training.job import prepare

PHOTOS = 4096


BOUND = 1.25  # reading alone that is no faster than this times the training bounds it


def networks(bench: Bench) -> Mapping[str, str]:
    """The networks whose speed counts, by zoo's names, with timm's."""
    if bench.is_dry:
        return {"resnet18": "resnet18"}
    return {"resnet50": "resnet50", "timm-vit_small_patch16_224": "vit_small_patch16_224"}


def full(bench: Bench) -> None:
    """Images a second of fine-tuning everything, beside timm's network in a plain loop, in bfloat16 and channels_last."""
    best = product(bench.device)
    bench.tell("a product of matrices in bfloat16", f"{best / 1e12:.3g} TFLOP/s", best=best)
    photos, batch = Path(bench.photos(PHOTOS)), 8 if bench.is_dry else 128
    for name, twin in networks(bench).items():
        ours = images_a_second_of_zoo(bench, name, photos, batch)
        theirs, resident = images_a_second_of_timm(bench, twin, photos, batch)
        tell_ratio(bench, f"{name}, full, from JPEGs", ours.rate, theirs)
        by_threads = images_a_second_of_zoo(bench, name, photos, batch, decoding="threads")
        bench.tell(f"{name}, full, decoded by threads", f"{by_threads.rate:.0f} images a second")
        share = 100 * resident * ours.operations / best
        bench.tell(f"{name}, timm's loop without images", f"{resident:.0f} images a second, {share:.0f} % of the best")
        if ours.memory:
            bench.tell(f"{name}, full, {batch} images at once", f"{ours.memory / 1e9:.2f} GB of memory at most")
    name = next(iter(networks(bench)))
    if bench.is_dry:
        bench.not_shown(f"{name}, the batch size by trial", "a CPU tries none")
        bench.not_shown(f"{name}, the memory of a training", "torch counts that of GPUs alone")
    else:
        bench.tell(f"{name}, the batch size by trial", f"{batch_by_trial(bench, name, photos)} images")


def compiled(bench: Bench) -> None:
    """The same with both networks compiled by torch."""
    photos, batch = Path(bench.photos(PHOTOS)), 8 if bench.is_dry else 128
    for name, twin in networks(bench).items():
        ours = images_a_second_of_zoo(bench, name, photos, batch, compiled=True)
        theirs, _ = images_a_second_of_timm(bench, twin, photos, batch, compiled=True)
        tell_ratio(bench, f"{name}, full, from JPEGs, compiled", ours.rate, theirs)
    if bench.is_dry:
        bench.not_shown("the speed of compiled code", "a dry run traces it, and computes it as it was")


def tell_ratio(bench: Bench, title: str, ours: float, theirs: float) -> None:
    figure = f"{ours / theirs:.2f} times: {ours:.0f} images a second, timm's loop {theirs:.0f}"
    bench.tell(title, figure, ours=ours, theirs=theirs)


def frozen_base(bench: Bench) -> None:
    """A head alone on JPEGs, cold and warm, how busy the device is, and whether reading bounds it."""
    name, photos = "resnet18" if bench.is_dry else "resnet50", bench.photos(PHOTOS)
    os.environ["ZOO_CACHE"] = str(bench.folder / "speed-cache")
    settings: dict[str, Any] = {"strategy": "head-only", "epochs": 2 if bench.is_dry else 5, "lr": 0.005}
    settings |= {"backbone": name, "weights": "none", "size": bench.size, "data": photos}
    job = prepare(
        zoo_core.FinetuneConfig(**settings, device=bench.device), open_catalog()
    )  # neither training scans then
    taken = {}
    for title in ("cold", "warm"):
        with gpu_busy(bench.device) as busy:
            started = time.perf_counter()
            bench.finetune(f"frozen-base-{title}", **settings, device=bench.device)
            taken[title] = time.perf_counter() - started
        words = "" if busy.share is None else f", the device {busy.share:.0f} % busy, {busy.most:.0f} % at most"
        epochs = f"{settings['epochs']} epochs"
        bench.tell(f"{name}, head-only, {epochs}, {title}", f"{taken[title]:.1f} s{words}", seconds=taken[title])
        if busy.share is None:
            bench.not_shown(f"how busy the device is, {title}", "nvidia-smi measures NVIDIA GPUs alone")
    images, read = images_a_second_read(job)
    rate = images / (taken["cold"] - taken["warm"])  # of the features, by what they add to a warm run
    bounds = "reading bounds it" if read <= BOUND * rate else "reading does not bound it"
    figure = f"{rate:.0f} images a second with their features, {read:.0f} read alone: {bounds}"
    bench.tell(f"{name}, head-only, the reading of images", figure, rate=rate, read=read)


PARTS: dict[str, Callable[[Bench], None]] = {
    **CHECKS,
    "speed": full,
    "head": frozen_base,
    **AGREEMENTS,
    "compiled": compiled,
}
