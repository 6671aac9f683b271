"""Faults that are planted among photographs, and those that `zoo check` finds.

    python benchmarks/check.py PHOTOS [--backbone efficientnet_lite0] [--images 300] [--seeds 3]

PHOTOS is a folder of classes, or has the folders train/, val/ (or validation/) and test/:
github.com/alexeygrigorev/clothing-dataset-small or the folder that stamps.py makes. For each seed so many images are drawn
from all of it, every fifth of them as validation images, and five faults of each kind are planted among them:

    label           the image lies in the folder of another class, drawn by chance
    near-duplicate  another version lies beside it: a crop of 90 % of each side, brightened or darkened, JPEG of quality 70
    leak            as that, mirrored half of the time, and in the other part
    blurred         Gaussian blur with a radius of 2 % of the shorter side
    cut off         only a strip of it is left, 2.5 times as wide as high

All other suspects among errors and warnings are counted as false, though some are faults that the photographs have had
before; but not those that are cut off by their own shape, which is no matter of judgement.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

import zoo_core
from zoo_core.data.decode import open_image
from zoo_core.data.folders import read_folders
from zoo_core.errors import ZooError

PLANTED = 5
KINDS = ("label", "near-duplicate", "leak", "blurred", "cut off")
COPIES = ("near-duplicate", "leak")


def main() -> None:
    parser = argparse.ArgumentParser(description="Plant faults among photographs and count those that zoo check finds.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one")
    parser.add_argument("--images", type=int, default=300, help="with the planted copies (default 300)")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3: 0, 1, 2)")
    parser.add_argument("--verbose", action="store_true", help="name the suspects that nobody planted")
    arguments = parser.parse_args()
    print(f"zoo {zoo_core.__version__}, {arguments.backbone}, {arguments.photos.name}\n")
    print(f"{'seed':<6}{''.join(f'{kind:>16}' for kind in KINDS)}{'false suspects':>16}{'seconds':>10}")
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            try:
                planted = plant(arguments.photos, Path(folder), arguments.images, np.random.default_rng(seed))
                measure(Path(folder), planted, arguments, seed)
            except ZooError as error:
                raise SystemExit(f"error: {error}") from None


def plant(photos: Path, folder: Path, count: int, generator: np.random.Generator) -> dict[str, str]:
    """Write the images into a folder of parts; return the kind of fault for each name that has one."""
    chosen = drawn(photos, count - PLANTED * len(COPIES), generator)
    classes = sorted({label for _, label in chosen})
    faulty = generator.permutation(len(chosen))[: PLANTED * len(KINDS)]
    kind_of = {int(index): KINDS[place // PLANTED] for place, index in enumerate(faulty)}
    planted = {}
    for index, (path, label) in enumerate(chosen):
        kind, part = kind_of.get(index), "val" if index % 5 == 0 else "train"
        if kind == "label":
            label = str(generator.choice([other for other in classes if other != label]))
        image = open_image(path).convert("RGB")
        if kind in COPIES:
            own = part if kind == "near-duplicate" else "train" if part == "val" else "val"
            name = f"{own}/{label}/{index:04}-again.jpg"
            write(folder / name, another_version(image, generator, mirrored=kind == "leak"), 70)
            planted[name] = str(kind)
        if kind == "blurred":
            image = image.filter(ImageFilter.GaussianBlur(0.02 * min(image.size)))
        if kind == "cut off":
            image = strip(image)
        name = f"{part}/{label}/{index:04}.jpg"
        write(folder / name, image, 90)
        if kind:
            planted[name] = kind
    return planted


def drawn(photos: Path, count: int, generator: np.random.Generator) -> list[tuple[Path, str]]:
    """So many images with their classes, in a random order; fewer where there are fewer."""
    source = read_folders(photos)
    every = [
        (photos / part.images.name(index), source.classes[target])
        for part in source.parts.values()
        for index, target in enumerate(part.targets)
    ]
    return [every[index] for index in generator.permutation(len(every))[:count]]


def another_version(image: Image.Image, generator: np.random.Generator, *, mirrored: bool) -> Image.Image:
    width, height = (round(0.9 * side) for side in image.size)
    left, top = (int(generator.integers(0, more + 1)) for more in (image.width - width, image.height - height))
    image = image.crop((left, top, left + width, top + height))
    image = ImageEnhance.Brightness(image).enhance(generator.choice([0.75, 1.25]))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored and generator.random() < 0.5 else image


def strip(image: Image.Image) -> Image.Image:
    height = min(image.height, round(image.width / 2.5))
    width = min(image.width, round(2.5 * height))
    top = (image.height - height) // 2
    return image.crop((0, top, width, top + height))


def write(path: Path, image: Image.Image, quality: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=quality)


def measure(folder: Path, planted: dict[str, str], arguments: argparse.Namespace, seed: int) -> None:
    """Check a folder and print how many of each kind were found, and the number of other suspects."""
    started = time.perf_counter()
    report = zoo_core.check_data(folder, backbone=arguments.backbone)
    seconds = time.perf_counter() - started
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    others: list[str] = []
    for kind, names, detail in suspects(report):
        hits = {name for name in names if planted.get(name) == kind}
        if hits:
            found[kind].add(sorted(hits)[0].replace("-again", "").rpartition("/")[2])
        elif kind != "cut off":
            others.append(f"{kind}: {names[0]}: {detail} {[planted[name] for name in names if name in planted]}")
    counts = "".join(f"{f'{len(found[kind])} of {PLANTED}':>16}" for kind in KINDS)
    print(f"{seed:<6}{counts}{len(others):>16}{seconds:>10.1f}", flush=True)
    print(f"      {dict(Counter(line.partition(':')[0] for line in others))}")
    if arguments.verbose:
        print("\n".join(others))


def suspects(report: zoo_core.Report) -> Iterator[tuple[str, list[str], str]]:
    """The kind, the images and the detail of each suspect among errors and warnings."""
    for finding in report.findings:
        if finding.kind.severity != "note":
            for one in finding.suspects:
                other = [] if one.other is None else [report.names[one.other]]
                yield finding.kind.name, [one.image, *other], one.detail


if __name__ == "__main__":
    main()
