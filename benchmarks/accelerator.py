"""The trainings of a GPU against those of a CPU, and its speed, in order of worth, within some minutes.

    python benchmarks/accelerator.py [--minutes 8] [--out accelerator] [--parts full,frozen] [--device auto]

It needs zoo with zoo-efficientnet-lite, zoo-lora, zoo-resnet and zoo-timm, and timm. After each part it writes what it
has to OUT.json and OUT.md. A part that fails is told with its error, and the others go on; one for which no time is
left is named. On a CPU every part goes through a tiny network, to see that the command works: that shows nothing of a
GPU, and the report says so. `--out benchmarks/accelerator` holds the result, from which the documentation speaks.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accelerator_bench import Bench
from accelerator_checks import CHECKS
from accelerator_speed import gpu_busy, images_a_second_of_timm, images_a_second_of_zoo, product

from zoo_core.devices.find import find_device

LEAST_SECONDS = 20  # that a part needs
PHOTOS = 4096


def full(bench: Bench) -> None:
    """Images a second of fine-tuning everything, beside timm's network in a plain loop, in bfloat16 and channels_last."""
    best = product(bench.device)
    bench.tell("a product of matrices in bfloat16", f"{best / 1e12:.3g} TFLOP/s", best=best)
    photos, batch = Path(bench.photos(PHOTOS)), 8 if bench.is_dry else 128
    networks = {"resnet50": "resnet50", "timm-vit_small_patch16_224": "vit_small_patch16_224"}
    for name, twin in ({"resnet18": "resnet18"} if bench.is_dry else networks).items():
        ours, flops = images_a_second_of_zoo(bench, name, photos, batch)
        theirs, resident = images_a_second_of_timm(bench, twin, photos, batch)
        share = 100 * resident * flops / best
        bench.tell(
            f"{name}, full, from JPEGs",
            f"{ours / theirs:.2f} times: {ours:.0f} images a second, timm's loop {theirs:.0f}",
            ours=ours,
            theirs=theirs,
        )
        bench.tell(f"{name}, timm's loop without images", f"{resident:.0f} images a second, {share:.0f} % of the best")


def frozen_base(bench: Bench) -> None:
    """A head alone on JPEGs, cold and warm, and how busy the device is."""
    name, photos = "resnet18" if bench.is_dry else "resnet50", bench.photos(PHOTOS)
    os.environ["ZOO_CACHE"] = str(bench.folder / "speed-cache")
    settings: dict[str, Any] = {"strategy": "head-only", "epochs": 2 if bench.is_dry else 5, "lr": 0.005}
    settings |= {"backbone": name, "weights": "none", "size": bench.size, "data": photos}
    for title in ("cold", "warm"):
        with gpu_busy(bench.device) as busy:
            started = time.perf_counter()
            bench.finetune(f"frozen-base-{title}", **settings, device=bench.device)
            seconds = time.perf_counter() - started
        words = (
            "" if busy.share is None else f", the device {busy.share:.0f} % busy on the mean, {busy.most:.0f} % at most"
        )
        bench.tell(
            f"{name}, head-only, {settings['epochs']} epochs, {title}", f"{seconds:.1f} s{words}", seconds=seconds
        )
        if busy.share is None:
            bench.not_shown(f"how busy the device is, {title}", "nvidia-smi measures NVIDIA GPUs alone")


PARTS: dict[str, Callable[[Bench], None]] = {**CHECKS, "head": frozen_base, "speed": full}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure what a GPU computes and how fast.")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--out", type=Path, default=Path("accelerator"))
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--device", default="auto")
    given = parser.parse_args(arguments)
    ends = time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZOO_CACHE"] = f"{folder}/cache"
        bench = Bench(str(find_device(given.device)), Path(folder), given.out, ends)
        for name in given.parts.split(","):
            bench.part = name
            if ends - time.monotonic() < LEAST_SECONDS:
                bench.not_shown(name, "no time was left")
                continue
            started = time.monotonic()
            try:
                PARTS[name](bench)
            except Exception as error:  # of this part alone
                traceback.print_exc()
                bench.tell(name, f"failed: {type(error).__name__}: {str(error)[:300]}", holds=False)
            print(f"{name}: {time.monotonic() - started:.1f} s", flush=True)
        print("\n".join(bench.limits))


if __name__ == "__main__":
    main()
