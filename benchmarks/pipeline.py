"""Images per second from files to normalised batches, zoo beside torchvision's folders with PyTorch's DataLoader.

    python benchmarks/pipeline.py PHOTOS [--rounds 3]

PHOTOS is a folder; JPEGs of 500 x 375 and of 4000 x 3000 pixels are made in it where it has none. Every image is brought
to 256 pixels on its shorter side, cut to 224 x 224 at the centre, and normalised. Nobody computes anything meanwhile.
Each way is a fresh process that goes once through the images, with as many workers as there are cores; they take turns:

    torchvision      ImageFolder, PIL, torchvision's transforms, and a DataLoader whose workers are processes
    zoo, the look    the look into every file before a run, which names those that are damaged; later runs do without
    zoo              threads; a large JPEG is decoded at a half or a quarter of its size ("draft") where that is enough
    zoo, seen before the same where the images were read once before: what was made small is kept on disk
    zoo, varied      the same as the one before, each image cropped and flipped by chance in place of the cut
    zoo, uncut       the processor's part of that where a GPU crops, flips and normalises: nobody does it here
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from baselines import SHORTER, SIZE, WORKERS, Task, torchvision_folders
from measuring import environment, in_child, make_photos

TORCHVISION, LOOK, ZOO, KEPT = "torchvision", "zoo, the look", "zoo", "zoo, seen before"
VARIED, UNCUT = "zoo, varied", "zoo, uncut"
WAYS = TORCHVISION, LOOK, ZOO, KEPT, VARIED, UNCUT
SIZES = {"500 x 375": (500, 375, 200), "4000 x 3000": (4000, 3000, 12)}  # width, height, how many
BATCH = 4  # a dozen photos are several batches, so that several workers have work


def main() -> None:
    parser = argparse.ArgumentParser(description="Images per second of input pipelines.")
    parser.add_argument("photos", type=Path, help="a folder of JPEGs, made where there are none")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each kind (default 3)")
    parser.add_argument("--child", metavar="WAY", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.photos)
        return
    print(environment("torch", "torchvision", "pillow"), f"{arguments.rounds} rounds", sep=", ")
    print(f"{'median images per second':<26}" + "".join(f"{way:>18}" for way in WAYS))
    for title, (width, height, count) in SIZES.items():
        photos = make_photos(arguments.photos / f"{width}", train=count, val=4, width=width, height=height)
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as cache:
                for way, own in rates.items():
                    own.append(in_child(__file__, way, str(photos), environment={"ZOO_CACHE": cache})["rate"])
        print(f"{title:<26}" + "".join(f"{statistics.median(own):>18.1f}" for own in rates.values()))
        ratios = {
            way: statistics.median(a / b for a, b in zip(rates[way], rates[TORCHVISION], strict=True)) for way in rates
        }
        print(f"{'  times torchvision':<26}" + "".join(f"{ratio:>18.2f}" for ratio in ratios.values()), flush=True)


def child(way: str, photos: Path) -> None:
    """Go once through the images and print how many came out in a second."""
    import torch

    torch.set_num_threads(1)  # the workers have the cores
    if way == TORCHVISION:
        counts = torchvision_counts(photos)
    else:
        counts = look_counts(photos) if way == LOOK else zoo_counts(photos, way)
    start = time.perf_counter()
    count = sum(counts)
    print(json.dumps({"rate": count / (time.perf_counter() - start)}))


def torchvision_counts(photos: Path) -> Iterator[int]:
    from torch.utils.data import DataLoader

    train, _ = torchvision_folders(Task(photos, photos, "", "full", 1))
    return (len(images_BCHW) for images_BCHW, _ in DataLoader(train, BATCH, num_workers=WORKERS))


def look_counts(photos: Path) -> Iterator[int]:
    from zoo_core.data.folders import read_folders
    from zoo_core.data.scan import scan_images

    source = read_folders(photos)
    return (len(part) for _ in range(1) for part in scan_images(source).parts.values())


def zoo_counts(photos: Path, way: str) -> Iterator[int]:
    import torch

    from zoo_core import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
    from zoo_core.data.augmentation import Augmentation
    from zoo_core.data.batches import Batches, in_groups, resized_store
    from zoo_core.data.folders import read_folders
    from zoo_core.data.on_device import normalised
    from zoo_core.data.scan import scan_images
    from zoo_core.data.transforms import CENTRE, fresh_view
    from zoo_core.paths import cache_dir

    preprocessing = Preprocessing(size=SIZE, crop=SIZE / SHORTER, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    part = scan_images(read_folders(photos)).parts["train"]  # as a run does beforehand: its digests name what is kept
    store = resized_store(cache_dir(), preprocessing)
    batches = Batches(part, preprocessing, BATCH, WORKERS, augment=Augmentation("crop-flip"), resized=store)
    view = fresh_view(0, 0) if way in (VARIED, UNCUT) else CENTRE
    groups = in_groups([(index, view) for index in range(len(part))], BATCH)
    if way == UNCUT:
        return map(len, batches.map_images(groups, lambda resized, *view: (resized, view)))
    return (len(normalised(pixels_BCHW, preprocessing, torch.device("cpu"))) for pixels_BCHW in batches.batches(groups))


if __name__ == "__main__":
    main()
