"""The worth of showing the whole image: oblong photos cropped, padded or squashed to a square, all else as by default.

    python benchmarks/stamps.py STAMPS
    python benchmarks/photos.py STAMPS PHOTOS [--backbone efficientnet_lite0] [--seeds 3]

The data sets are those of defaults.py: each image of STAMPS is a test image once for each seed; PHOTOS has the folders
train/, val/ (or validation/) and test/, and is taken whole and with 20 training images of each class. Only a head is trained,
by `zoo finetune --fit ...`; the images that are measured on decide nothing.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from statistics import median

from defaults import Case, few_of_each_class, measured

import zoo_core
from solved import with_folds
from zoo_core.data.decode import IMAGE_ENDINGS, open_image
from zoo_core.errors import ZooError

FITS = ("crop", "pad", "squash")
LOST = 0.2  # of the longer side: more than that is a part that people notice


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare three ways from an oblong image to a square.")
    parser.add_argument("stamps", type=Path, help="the folder of classes that stamps.py made, or any other")
    parser.add_argument("photos", type=Path, help="a folder with train/, val/ and test/")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a pretrained one")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds (default 3: 0, 1, 2)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(shutil.copytree(arguments.stamps, Path(folder) / "images"))
        photos = Path(shutil.copytree(arguments.photos, Path(folder) / "photos"))
        seeds = range(arguments.seeds)
        folds = [[str(table) for table in with_folds(images, seed)] for seed in seeds]
        few = [[str(few_of_each_class(photos, seed))] for seed in seeds]
        for root in (images, photos):
            print_shapes(root)
        try:
            for title, data in (
                (arguments.stamps.name, folds),
                (f"{arguments.photos.name}, 20 a class", few),
                (arguments.photos.name, [[str(photos)]] * len(few)),
            ):
                case = Case(title, arguments.backbone, data)
                print(
                    f"\n{title}, {case.backbone}\n{'':<34}{'validation':>12}{'accuracy':>10}{'correct':>12}{'seconds':>9}"
                )
                for fit in FITS:
                    measured(fit, case, fit=fit, strategy="head-only")
        except ZooError as error:
            raise SystemExit(f"error: {error}") from None


def print_shapes(root: Path) -> None:
    """How oblong the images are, and how many lose much of their longer side to a centre crop of a square."""
    sizes = [
        open_image(path, at_least=1).size for path in sorted(root.rglob("*.*")) if path.suffix.lower() in IMAGE_ENDINGS
    ]
    ratios = [max(size) / min(size) for size in sizes]
    losing = sum(1 - 1 / ratio > LOST for ratio in ratios)
    print(
        f"{root.name}: {len(ratios)} images, median ratio {median(ratios):.2f}; {100 * losing / len(ratios):.0f} % lose more "
        f"than a fifth of their longer side to a square ({zoo_core.__version__})"
    )


if __name__ == "__main__":
    main()
