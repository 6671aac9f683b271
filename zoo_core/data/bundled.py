"""The bundled data set: a first fine-tune needs no download."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np

from zoo_core.data.sources import ArrayImages, Part, Source

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def fashion_small() -> Source:
    """1,000 training and 500 validation images of Fashion-MNIST, 28x28 greyscale.

    Copyright Zalando SE, MIT licence.
    """
    with as_file(files("zoo_core").joinpath("resources/fashion_small.npz")) as path, np.load(path) as arrays:
        train = Part(ArrayImages("train", arrays["x_train"]), arrays["y_train"].astype(np.int64))
        val = Part(ArrayImages("val", arrays["x_val"]), arrays["y_val"].astype(np.int64))
    return Source("fashion-small", FASHION_CLASSES, {"train": train, "val": val})
