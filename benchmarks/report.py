"""The time and the size of a report on 5,000 validation images, one class and some files of which have hostile names.

    python benchmarks/report.py CLOTHING [--folder FOLDER]

CLOTHING is github.com/alexeygrigorev/clothing-dataset-small. Its photos are cut, mirrored and brightened by chance until each
class has 100 training and 500 validation images, of other photos. A head is trained on the frozen efficientnet_lite0 at 96
pixels, which caches the features, and the report is written. The seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageEnhance

import zoo_core
from measuring import environment
from zoo_core.cli.report import write_page

HOSTILE_CLASS, HOSTILE_FILE = '<img src=x onerror="alert(1)">&amp;', '"><script>alert({})<-script>.jpg'
COUNTS = {"train": (100, 0, 40), "val": (500, 40, 140)}  # images of a class, and the photos that they are made of


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a report on 5,000 validation images.")
    parser.add_argument("clothing", type=Path)
    parser.add_argument("--folder", type=Path, help="a new folder that keeps images, run and page")
    given = parser.parse_args()
    print(environment("torch"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        make(given.clothing, folder / "photos")
        config = zoo_core.FinetuneConfig(
            backbone="efficientnet_lite0",
            data=str(folder / "photos"),
            strategy="head-only",
            size=96,
            out=str(folder / "run"),
        )
        run = zoo_core.finetune(config).directory
        started = time.process_time()
        write_page(run, run / "report.html", zoo_core.open_catalog())
        size = (run / "report.html").stat().st_size
        print(f"{time.process_time() - started:.1f} s of the processor, {size / 1e6:.1f} MB")


def make(clothing: Path, target: Path) -> None:
    """Write varied copies of the photos into folders train/ and val/."""
    chance = random.Random(0)
    for place, of_class in enumerate(sorted((clothing / "train").iterdir())):
        photos = sorted(path for part in clothing.iterdir() for path in (part / of_class.name).glob("*.jpg"))
        chance.shuffle(photos)
        name = of_class.name if place else HOSTILE_CLASS
        for part, (count, first, last) in COUNTS.items():
            (target / part / name).mkdir(parents=True)
            for number in range(count):
                photo = photos[first + number % (min(last, len(photos)) - first)]
                file = HOSTILE_FILE.format(number) if number < 3 else f"{number:04}.jpg"
                varied(photo, chance).save(target / part / name / file, quality=88)


def varied(photo: Path, chance: random.Random) -> Image.Image:
    """A part of a photo, lighter or darker, and mirrored half of the time."""
    with Image.open(photo) as opened:
        image = opened.convert("RGB")
    image.thumbnail((200, 200))
    width, height = (round(side * chance.uniform(0.8, 1)) for side in image.size)
    left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
    image = ImageEnhance.Brightness(image.crop((left, top, left + width, top + height))).enhance(
        chance.uniform(0.7, 1.3)
    )
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else image


if __name__ == "__main__":
    main()
