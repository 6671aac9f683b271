"""How long until a pretrained network is right so often on real photographs: zoo beside the trainer of PyTorch's tutorial.

    python benchmarks/stamps.py STAMPS
    python benchmarks/time_to_accuracy.py STAMPS [--accuracy 80] [--backbone efficientnet_lite0] [--epochs 10] [--seeds 3]

For each seed a fifth of the images is held out, and all train on the rest, from the same pretrained weights, in batches
of 32; only the head learns. zoo does what `zoo finetune --backbone B --data D` does. The tutorial's trainer reads the
files with torchvision's ImageFolder and PyTorch's DataLoader (as many workers as cores), and has zoo's network and zoo's
highest learning rate. Both measure the held-out images after every epoch. Seconds count from after the imports to the
end of the first epoch that is right as often as asked for; each training is a fresh process, and they take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from measuring import environment, in_child

COLD, WARM, TUTORIAL = "zoo", "zoo, warm cache", "the tutorial's trainer"
HELD_OUT = 0.2
BATCH, LR = 32, 1e-2
LINE = "{:<6}{:<22}{:>12}{:>10}{:>12}{:>12}"
Curve = list[tuple[float, float]]
"""For each epoch the seconds until its end, and the share of held-out images that are answered rightly."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Time until a pretrained network is right so often.")
    parser.add_argument("stamps", type=Path, help="the folder of classes that stamps.py made, or any other")
    parser.add_argument("--accuracy", type=float, default=80, help="per cent of the held-out images (default 80)")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--child", metavar="WAY", choices=(COLD, WARM, TUTORIAL), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps({"curve": (by_tutorial if arguments.child == TUTORIAL else by_zoo)(arguments)}))
        return
    print(environment("torch", "torchvision"), f"{arguments.backbone}, {arguments.epochs} epochs\n", sep=", ")
    print(LINE.format("seed", "", f"s to {arguments.accuracy:g} %", "epochs", "s, all", "last epoch"))
    reached: dict[str, list[float | None]] = {TUTORIAL: [], COLD: [], WARM: []}
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            photos = split(arguments.stamps, Path(folder) / "photos", seed)
            for way, times in reached.items():
                times.append(show(seed, way, measure(way, arguments, photos), arguments.accuracy / 100))
    summary(reached, arguments.accuracy)


def split(stamps: Path, photos: Path, seed: int) -> Path:
    """Write the images as JPEGs on white ground to PHOTOS/train and PHOTOS/val, a fifth of each class to the second."""
    generator = random.Random(seed)
    for folder in sorted(path for path in stamps.iterdir() if path.is_dir()):
        files = sorted(folder.iterdir())
        generator.shuffle(files)
        held_out = round(HELD_OUT * len(files))
        for number, file in enumerate(files):
            place = photos / ("val" if number < held_out else "train") / folder.name
            place.mkdir(parents=True, exist_ok=True)
            with Image.open(file) as image:
                pixels = image.convert("RGBA")
            ground = Image.new("RGBA", pixels.size, "white")
            Image.alpha_composite(ground, pixels).convert("RGB").save(place / f"{file.stem}-{number}.jpg", quality=95)
    return photos


def measure(way: str, arguments: argparse.Namespace, photos: Path) -> Curve:
    settings = ("--backbone", arguments.backbone, "--epochs", str(arguments.epochs), "--device", arguments.device)
    environment = {"ZOO_CACHE": str(photos.parent / "cache")}
    return [tuple(pair) for pair in in_child(__file__, way, str(photos), *settings, environment=environment)["curve"]]


def by_zoo(arguments: argparse.Namespace) -> Curve:
    import zoo_core
    import zoo_core.runs.plots
    import zoo_core.training.run  # imports do not count
    from zoo_core.catalog import open_catalog
    from zoo_core.runs.epochs import EpochReport
    from zoo_core.specs import resolve
    from zoo_core.training.callback import NullCallback

    catalog = open_catalog()
    resolve(catalog.backbone(arguments.backbone).spec.build)
    curve: Curve = []
    start = time.perf_counter()

    class Watch(NullCallback):
        def on_epoch(self, report: EpochReport) -> None:
            curve.append((time.perf_counter() - start, report.score))

    with tempfile.TemporaryDirectory() as folder:
        config = zoo_core.FinetuneConfig(
            backbone=arguments.backbone,
            data=str(arguments.stamps),
            epochs=arguments.epochs,
            device=arguments.device,
            lr=LR,
            batch_size=BATCH,
            out=f"{folder}/run",
        )
        zoo_core.finetune(config, catalog=catalog, callback=Watch())
    return curve


def by_tutorial(arguments: argparse.Namespace) -> Curve:
    import torch
    from torch.nn import functional
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    import zoo_core
    from zoo_core.catalog import open_catalog
    from zoo_core.devices.find import find_device
    from zoo_core.specs import resolve

    catalog = open_catalog()
    spec = catalog.backbone(arguments.backbone).spec
    resolve(spec.build)
    transform = torchvision_transform(spec.weights[0].preprocessing)
    curve: Curve = []
    start = time.perf_counter()
    device = find_device(arguments.device)
    workers = len(os.sched_getaffinity(0))
    train, val = (ImageFolder(str(arguments.stamps / part), transform) for part in ("train", "val"))
    network = zoo_core.create_model(arguments.backbone, num_classes=len(train.classes), catalog=catalog).to(device)
    network.backbone.requires_grad_(False)
    optimizer = torch.optim.AdamW(network.head.parameters(), lr=LR)
    training = DataLoader(train, BATCH, shuffle=True, num_workers=workers)
    for _ in range(arguments.epochs):
        network.train()
        for images_BCHW, labels_B in training:
            loss = functional.cross_entropy(network(images_BCHW.to(device)), labels_B.to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        network.eval()
        right = 0
        with torch.no_grad():
            for images_BCHW, labels_B in DataLoader(val, BATCH, num_workers=workers):
                right += int((network(images_BCHW.to(device)).argmax(1).cpu() == labels_B).sum())
        curve.append((time.perf_counter() - start, right / len(val)))
    return curve


def torchvision_transform(preprocessing: Any) -> Callable[[Any], Any]:
    from torchvision import transforms

    shorter = round(preprocessing.size / preprocessing.crop)
    how = transforms.InterpolationMode(preprocessing.interpolation)
    steps = [transforms.Resize(shorter, how), transforms.CenterCrop(preprocessing.size), transforms.ToTensor()]
    whole: Callable[[Any], Any] = transforms.Compose(
        [*steps, transforms.Normalize(preprocessing.mean, preprocessing.std)]
    )
    return whole


def show(seed: int, way: str, curve: Curve, wanted: float) -> float | None:
    """Print a line of the report; return the seconds until the accuracy was there, None when it never was."""
    epoch, reached = next(((place, pair[0]) for place, pair in enumerate(curve, 1) if pair[1] >= wanted), (0, None))
    cells = ("never", "") if reached is None else (f"{reached:.2f}", epoch)
    print(LINE.format(seed, way, *cells, f"{curve[-1][0]:.2f}", f"{100 * curve[-1][1]:.1f} %"), flush=True)
    return reached


def summary(reached: dict[str, list[float | None]], accuracy: float) -> None:
    print()
    for way in (COLD, WARM):
        pairs = zip(reached[TUTORIAL], reached[way], strict=True)
        gains = [theirs / ours for theirs, ours in pairs if theirs is not None and ours is not None]
        if gains:
            print(
                f"{way}: {statistics.median(gains):.1f} times as fast to {accuracy:g} % (median of {len(gains)} seeds)"
            )


if __name__ == "__main__":
    main()
