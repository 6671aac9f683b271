"""Faults that are planted among photographs, and those that `zoo check` finds.

    python benchmarks/check.py PHOTOS [--backbone efficientnet_lite0] [--images 300] [--seeds 0 1 2]

PHOTOS is a folder of classes, or has the folders train/, val/ (or validation/) and test/:
github.com/alexeygrigorev/clothing-dataset-small or the folder that stamps.py makes. For each seed so many images are drawn
from all of it, each three of a class are a group (as of one wearer), every fifth group is for validation, and five faults of
each kind are planted among them:

    label           the image lies in the folder of another class, drawn by chance
    near-duplicate  another version lies beside it: a crop of 90 % of each side, brightened or darkened, JPEG of quality 70
    leak            as that, mirrored half of the time, and in the other part
    group leak      an image of a group lies in the other part (`--group-by`)
    blurred         Gaussian blur with a radius of 2 % of the shorter side
    cut off         only a strip of it is left, 2.5 times as wide as high

All other suspects among errors and warnings are counted as false, though some are faults that the photographs have had
before; but not those that are cut off by their own shape, which is no matter of judgement, and strips that are tiny.
check_real.csv lists the faults that somebody looked at and found to be real; the last count is without them.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

import zoo_core
from zoo_core.data.decode import open_image
from zoo_core.data.folders import read_folders
from zoo_core.errors import ZooError

PLANTED = 5
KINDS = ("label", "near-duplicate", "leak", "group leak", "blurred", "cut off")
COPIES = ("near-duplicate", "leak")
IN_A_GROUP = 3
GROUP_BY = "(g[0-9]+)-"
REAL = Path(__file__).with_name("check_real.csv")


@dataclass
class Planted:
    """The images that were written."""

    kinds: dict[str, str] = field(default_factory=dict)
    """The kind of fault of each image (by name) and each group that has one."""
    origins: dict[str, str] = field(default_factory=dict)
    """The photograph (class/file) that each image was made of."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Plant faults among photographs and count those that zoo check finds.")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one")
    parser.add_argument("--images", type=int, default=300, help="with the planted copies (default 300)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default 0 1 2")
    parser.add_argument("--verbose", action="store_true", help="name the suspects that nobody planted")
    arguments = parser.parse_args()
    print(f"zoo {zoo_core.__version__}, {arguments.backbone}, {arguments.photos.name}\n")
    print(
        f"{'seed':<6}{''.join(f'{kind:>16}' for kind in KINDS)}{'false suspects':>16}{'less real ones':>16}{'seconds':>10}"
    )
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            try:
                planted = plant(arguments.photos, Path(folder), arguments.images, np.random.default_rng(seed))
                measure(Path(folder), planted, arguments, seed)
            except ZooError as error:
                raise SystemExit(f"error: {error}") from None


def plant(photos: Path, folder: Path, count: int, generator: np.random.Generator) -> Planted:
    """Write the images into a folder of parts, with the faults."""
    chosen = drawn(photos, count - PLANTED * len(COPIES), generator)
    classes = sorted({label for _, label in chosen})
    of_image = [kind for kind in KINDS if kind != "group leak"]
    faulty = generator.permutation(len(chosen))[: PLANTED * len(of_image)]
    kind_of = {int(index): of_image[place // PLANTED] for place, index in enumerate(faulty)}
    group_of, moved = grouped([label for _, label in chosen], kind_of, generator)
    planted = Planted(kinds={f"g{group_of[index]:03}": "group leak" for index in moved})
    for index, (path, label) in enumerate(chosen):
        kind, group, origin = kind_of.get(index), f"g{group_of[index]:03}", f"{path.parent.name}/{path.name}"
        parts = ("val", "train") if (group_of[index] % 5 == 0) != (index in moved) else ("train", "val")
        if kind == "label":
            label = str(generator.choice([other for other in classes if other != label]))
        image = open_image(path).convert("RGB")
        if kind in COPIES:
            place = f"{parts[0]}/{label}/{group}" if kind == "near-duplicate" else f"{parts[1]}/{label}/g{900 + index}"
            name = f"{place}-{index:04}-again.jpg"
            write(folder / name, another_version(image, generator, mirrored=kind == "leak"), 70)
            planted.kinds[name], planted.origins[name] = str(kind), origin
        if kind == "blurred":
            image = image.filter(ImageFilter.GaussianBlur(0.02 * min(image.size)))
        if kind == "cut off":
            image = strip(image)
        name = f"{parts[0]}/{label}/{group}-{index:04}.jpg"
        write(folder / name, image, 90)
        planted.origins[name] = origin
        if kind:
            planted.kinds[name] = kind
    return planted


def grouped(
    labels: list[str], kind_of: dict[int, str], generator: np.random.Generator
) -> tuple[dict[int, int], set[int]]:
    """The number of each image's group, IN_A_GROUP of a class each, and the images that leave the part of their group.

    These are of whole groups without another fault.
    """
    group_of, members = {}, []
    for label in sorted(set(labels)):
        own = [index for index, one in enumerate(labels) if one == label]
        for start in range(0, len(own), IN_A_GROUP):
            members.append(own[start : start + IN_A_GROUP])
            group_of.update(dict.fromkeys(members[-1], len(members) - 1))
    whole = [group for group in members if len(group) == IN_A_GROUP and not kind_of.keys() & set(group)]
    return group_of, {whole[place][0] for place in generator.permutation(len(whole))[:PLANTED]}


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


def measure(folder: Path, planted: Planted, arguments: argparse.Namespace, seed: int) -> None:
    """Check a folder and print how many of each kind were found, and the number of other suspects."""
    started = time.perf_counter()
    report = zoo_core.check_data(folder, backbone=arguments.backbone, group_by=GROUP_BY)
    seconds = time.perf_counter() - started
    real = real_ones(arguments.photos.name)
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    others: list[tuple[str, bool, str]] = []
    for kind, names, detail in suspects(report):
        origins = [planted.origins.get(name, name) for name in names]
        if any(planted.kinds.get(name) == kind for name in names) and len(set(origins)) == 1:
            found[kind].add(origins[0])
        elif kind != "cut off" and not (kind == "tiny" and planted.kinds.get(names[0]) == "cut off"):
            faults = [planted.kinds[name] for name in names if name in planted.kinds]
            fault = "near-duplicate" if len(names) > 1 else kind
            others.append(
                (kind, (fault, frozenset(origins)) in real, f"{kind}: {' = '.join(origins)}: {detail} {faults}")
            )
    counts = "".join(f"{f'{len(found[kind])} of {PLANTED}':>16}" for kind in KINDS)
    unreal = sum(not is_real for _, is_real, _ in others)
    print(f"{seed:<6}{counts}{len(others):>16}{unreal:>16}{seconds:>10.1f}", flush=True)
    print(f"      {dict(Counter(kind for kind, _, _ in others))}")
    if arguments.verbose:
        print("\n".join(f"{'real ' if is_real else ''}{line}" for _, is_real, line in others))


def real_ones(photos: str) -> set[tuple[str, frozenset[str]]]:
    """The kinds and photographs of the faults that a set has had before."""
    with REAL.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["photos"] == photos]
    return {(row["finding"], frozenset(filter(None, (row["photo"], row["other"])))) for row in rows}


def suspects(report: zoo_core.Report) -> Iterator[tuple[str, list[str], str]]:
    """The kind, the images and the detail of each suspect among errors and warnings; of a group, its name."""
    for finding in report.findings:
        if finding.kind.severity != "note":
            for one in finding.suspects:
                other = [] if one.other is None else [report.names[one.other]]
                yield finding.kind.name, [one.image or one.detail.split("'")[1], *other], one.detail


if __name__ == "__main__":
    main()
