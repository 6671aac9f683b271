"""Makes folders of classes from the handwritten digits that come with scikit-learn.

    pip install scikit-learn
    python benchmarks/digits.py DEST

1,797 grey images of 8 x 8 pixels, ten classes: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998
(doi.org/10.24432/C50P49, CC BY 4.0). No part of this project carries them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description="Make folders of classes from scikit-learn's digits.")
    parser.add_argument("dest", type=Path, help="a folder that is made")
    dest = parser.parse_args().dest
    from sklearn.datasets import load_digits

    digits = load_digits()
    for index, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        folder = dest / f"digit-{label}"  # whole numbers alone might be amounts
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * (255 / 16)).astype("uint8")).save(folder / f"{index}.png")
    print(f"{len(digits.target):,} images in {len(digits.target_names)} classes: {dest}")


if __name__ == "__main__":
    main()
