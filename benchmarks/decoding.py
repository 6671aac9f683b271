"""Who decodes images: the threads of a run, or processes beside them (`--decoding`, docs/speed.md).

    python benchmarks/decoding.py PHOTOS [--rounds 3] [--images 800]

PHOTOS is a folder; JPEGs of 500 x 375 pixels are made there where it has none. All are read once, in batches of 32, with
as many threads as there are cores, and cut at the centre; both ways take turns. What bounds a fast GPU is the run's own
process, whose threads share one interpreter: the script tells its computing time an image, without that of the system.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

from measuring import environment, make_photos
from zoo_core import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from zoo_core.data.batches import Batches
from zoo_core.data.decoders import Decoders
from zoo_core.data.folders import read_folders
from zoo_core.data.scan import scan_images
from zoo_core.devices.cores import usable_cores

THREADS, PROCESSES = "threads", "processes"
PREPROCESSING = Preprocessing(size=224, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def main() -> None:
    parser = argparse.ArgumentParser(description="Images decoded by threads and by processes.")
    parser.add_argument("photos", type=Path, help="a folder of JPEGs, made where there are none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=800)
    arguments = parser.parse_args()
    photos = make_photos(arguments.photos, train=arguments.images, val=4)
    part = scan_images(read_folders(photos)).parts["train"]
    batches, cores = Batches(part, PREPROCESSING, 32, usable_cores()), usable_cores()
    print(f"{environment('torch', 'pillow')}, {len(part)} images, {arguments.rounds} rounds\n")
    print("| decoding | images a second | ms of the run's process an image |\n|---|---|---|")
    found: dict[str, list[tuple[float, float]]] = {THREADS: [], PROCESSES: []}
    for _ in range(arguments.rounds):
        found[THREADS].append(rates(batches))
        decoders = Decoders(PREPROCESSING, cores)
        try:
            rates(replace(batches, decoders=decoders))  # they start
            found[PROCESSES].append(rates(replace(batches, decoders=decoders)))
        finally:
            decoders.close()
    for way, own in found.items():
        images, busy = (statistics.median(column) for column in zip(*own, strict=True))
        print(f"| {way} | {images:.0f} | {busy:.2f} |")
    less = statistics.median(a[1] / b[1] for a, b in zip(found[THREADS], found[PROCESSES], strict=True))
    print(f"\nWith processes the run's own takes {less:.1f} times less.")


def rates(batches: Batches) -> tuple[float, float]:
    """Images a second, and milliseconds of this process an image."""
    started, busy = time.perf_counter(), os.times().user
    count = sum(len(pixels_BCHW) for pixels_BCHW, _ in batches.in_order())
    return count / (time.perf_counter() - started), 1000 * (os.times().user - busy) / count


if __name__ == "__main__":
    main()
