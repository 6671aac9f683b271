"""What a fine-tune does where nobody said: decided by the images, the network and what it starts from.

The rules are rough and short, so that a person can foresee them; benchmarks/defaults.py shows what they are worth.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median

from zoo_core.data.sources import Part
from zoo_core.data.transforms import shorter_side
from zoo_core.settings import Augment, FinetuneConfig
from zoo_core.specs import BackboneSpec, Preprocessing
from zoo_core.training.schedule import PRETRAINED_BASE_SHARE, SCRATCH_BASE_SHARE

PARAMETERS_PER_IMAGE = 100  # up to here there are images enough for all of a network to learn
CHEAP_GMACS = 1000  # billions of multiply-accumulates an epoch: seconds on any machine
MANY_EPOCHS, FEW_EPOCHS = 30, 10
LOOKED_AT = 9  # images whose size is taken for that of all


def fill_in_defaults(
    config: FinetuneConfig,
    spec: BackboneSpec,
    train: Part,
    preprocessing: Preprocessing,
    *,
    parameters: int,
    pretrained: bool,
) -> FinetuneConfig:
    """The config with a value for all that was left open; `parameters` counts those of the conv base.

    A pretrained base is frozen unless there is a training image for every 100 of its parameters; then all of it learns,
    at the rate of one that starts from scratch. Small images are flipped, not cropped: they have nothing to spare.
    30 epochs where one costs next to nothing, 10 elsewhere.
    """
    all_learns = not pretrained or parameters <= PARAMETERS_PER_IMAGE * len(train)
    strategy = config.strategy if config.strategy != "auto" else ("full" if all_learns else "head-only")
    share = SCRATCH_BASE_SHARE if all_learns else PRETRAINED_BASE_SHARE
    return replace(
        config,
        strategy=strategy,
        base_lr=share if config.base_lr is None else config.base_lr,
        augment=_augment(train, preprocessing) if config.augment == "auto" else config.augment,
        epochs=_epochs(strategy, spec, train, preprocessing) if config.epochs is None else config.epochs,
    )


def _augment(train: Part, preprocessing: Preprocessing) -> Augment:
    step = -(-len(train) // LOOKED_AT)
    sides = [min(train.images.read(index).size) for index in range(0, len(train), step)]
    return "flip" if median(sides) < shorter_side(preprocessing) else "crop-flip"


def _epochs(strategy: str, spec: BackboneSpec, train: Part, preprocessing: Preprocessing) -> int:
    if strategy.partition(":")[0] == "head-only":
        return MANY_EPOCHS  # the base sees each image once, however many there are
    if spec.gmacs is None:
        return FEW_EPOCHS
    area = (preprocessing.size / spec.preprocessing.size) ** 2
    return MANY_EPOCHS if 3 * spec.gmacs * area * len(train) < CHEAP_GMACS else FEW_EPOCHS
