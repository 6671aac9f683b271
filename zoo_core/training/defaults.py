"""The rules that decide a setting which was left open, each with its reason.

The rules are rough and short, so that a person can foresee them; benchmarks/defaults.py shows their
worth. Every rule returns a value and the reason as a clause after "because".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

import torch
from PIL import Image
from torch import nn

from zoo_core.data.decode import sides_in_file
from zoo_core.data.decoders import HAS_DECODERS
from zoo_core.data.sources import Part, content_of
from zoo_core.data.transforms import Geometry, resized_side
from zoo_core.devices.kinds import kind_of
from zoo_core.devices.precision import resolve_precision
from zoo_core.freezing.plan import Plan
from zoo_core.frozen.caching import Caching
from zoo_core.frozen.split import SplitPoint
from zoo_core.model.solvers import Solvable
from zoo_core.settings import FinetuneConfig, LrSearch, Precision
from zoo_core.settings.words import Decoding
from zoo_core.specs import BackboneSpec
from zoo_core.training.schedule import PRETRAINED_BASE_SHARE, SCRATCH_BASE_SHARE
from zoo_core.training.solve import only_solved
from zoo_core.weights_specs import Preprocessing
from zoo_core.wording import human_count

PARAMETERS_PER_IMAGE = 100  # with at most so many, the images suffice to fine-tune a whole backbone
MOST_ON_CPU = 1500  # billions of multiply-accumulates a pass: 3,700 images for efficientnet_lite0
CHEAP_GMACS = 1000  # billions of multiply-accumulates an epoch: seconds on any machine
ENOUGH_IMAGES, ENOUGH_A_CLASS = 1100, 110  # training images to fine-tune the last stages of a pretrained backbone
ENOUGH_SMALL, ENOUGH_SMALL_A_CLASS = 500, 50  # enlarged images to fine-tune a whole backbone
FINE_TUNING = "last:2"
MANY_EPOCHS, FEW_EPOCHS = 30, 10
FEWEST_DECODERS, FEWEST_DECODED = 4, 1000
"""Processes that decode, and training images, that are worth the start of the processes."""
INSPECTED = 9  # images that are taken for all
USUAL_LR = 0.01
LEAST_PATIENCE = 5  # epochs: losses of fewer go up and down by chance
FEWEST_FOR_TRIALS = 50  # images: a fifth of fewer tells no learning rate from another


def default_strategy(
    images: int,
    parameters: int,
    *,
    pretrained: bool,
    classes: int = 1,
    stages: int = 3,
    only_head: str = "",
    enlarged: bool = False,
) -> tuple[str, str]:
    """The strategy of `--strategy auto`, from the training images and their classes, the backbone's
    parameters and stages, a reason for which the last stages stay frozen, if there is one, and
    whether the images are `enlarged` and the machine affords to train everything.

    By default a pretrained backbone is frozen and only a new head is trained. With at least 1,100
    images, 110 a class, its last two stages are trained as well: that gave 3 to 5 points with 115 and
    307 images a class, nothing with 80, and took 3 with 20. With at least one image per 100 backbone parameters
    everything is fine-tuned; so it is with 500 enlarged images, 50 a class, which look unlike those
    of the weights. From scratch everything is trained.
    """
    if not pretrained:
        return "full", "the backbone starts from scratch"
    if is_many(images, parameters):
        return "full", f"{images:,} images are many for {human_count(parameters)} parameters"
    if enlarged and images >= max(ENOUGH_SMALL, ENOUGH_SMALL_A_CLASS * classes):
        return "full", f"{images:,} images of so few pixels are enough, and differ from those of the weights"
    if images >= max(ENOUGH_IMAGES, ENOUGH_A_CLASS * classes):
        if only_head:
            return "head-only", only_head
        return FINE_TUNING if stages > 2 else "full", f"{images:,} images are enough to fine-tune the last stages"
    return "head-only", f"{images:,} images are few for {human_count(parameters)} parameters"


def reason_to_train_only_a_head(
    head: nn.Module,
    device: torch.device,
    spec: BackboneSpec,
    images: int,
    preprocessing: Preprocessing,
    *,
    whole: bool = False,
) -> str:
    """A reason why enough images are no reason to fine-tune, or "". On a CPU a pass of all images
    through the network may cost at most MOST_ON_CPU: a training of the last stages takes about as
    long as 15 such passes, some ten minutes on two cores. One of the `whole` network takes as long
    as 30, so that half as much is the bound."""
    if isinstance(head, Solvable):
        return "such a head is solved, on frozen features"
    gmacs = forward_gmacs(spec, images, preprocessing)
    most = MOST_ON_CPU / 2 if whole else MOST_ON_CPU
    if not kind_of(device).is_accelerator and (gmacs is None or gmacs > most):
        return f"to fine-tune with {images:,} images takes long on a CPU"
    return ""


def forward_gmacs(spec: BackboneSpec, images: int, preprocessing: Preprocessing) -> float | None:
    """Billions of multiply-accumulates of a pass of all images, where the network's are known."""
    if spec.gmacs is None:
        return None
    return spec.gmacs * (preprocessing.size / spec.preprocessing.size) ** 2 * images


def is_many(images: int, parameters: int) -> bool:
    """Whether there is at least one image per 100 parameters."""
    return parameters <= PARAMETERS_PER_IMAGE * images


def default_base_lr(images: int, parameters: int, *, pretrained: bool) -> tuple[float, str]:
    """The learning rate of the backbone as a share of the head's."""
    if not pretrained:
        return SCRATCH_BASE_SHARE, "the backbone starts from scratch"
    if is_many(images, parameters):
        return SCRATCH_BASE_SHARE, "so many images allow larger steps"
    return PRETRAINED_BASE_SHARE, "pretrained weights take smaller steps than a new head"


def default_lr_search(
    config: FinetuneConfig, plan: Plan, head: nn.Module, splits: Sequence[SplitPoint | None], images: int
) -> tuple[LrSearch, str]:
    """The search that finds the head's learning rate when the training starts, or none: then the
    rate is the given one, or USUAL_LR. `splits` are the places of cached features, one a phase."""
    if config.lr == "auto":
        return "range test", "it is found at the start of the training"
    if config.lr is not None or all(only_solved(plan, phase, head) for phase in plan.phases):
        return "", "a head that is solved has none"
    if not all(split is not None and split.pooled for split in splits):
        return "", "trials of other rates are quick only for a head alone on cached, pooled features"
    if images < FEWEST_FOR_TRIALS:
        return "", f"{images} images are too few for trials"
    return "trials", "trials of a head on cached features take seconds"


def is_enlarged(train: Part, preprocessing: Preprocessing) -> bool:
    """Whether most images have less than half of the input's pixels along the side that fills it."""
    return 2 * usual_side(train, preprocessing) < preprocessing.size


def default_augment(train: Part, preprocessing: Preprocessing) -> tuple[Geometry, str]:
    """The augmentation: images with fewer pixels than the input have none to spare for a crop."""
    side = usual_side(train, preprocessing)
    wanted = resized_side(preprocessing)
    if side < wanted:
        return "flip", f"images of {side:.0f} pixels are too small for crops, which need {wanted}"
    return "crop-flip", f"images of {side:.0f} pixels are large enough for crops"


def usual_side(train: Part, preprocessing: Preprocessing) -> float:
    """The median length, in pixels, of the side that fills the input: the shorter one of a crop, the
    longer one where images are padded."""
    measure = max if preprocessing.fit == "pad" else min
    return median(measure(sides_in_file(image)) for image in sample_of(train, at_least=1))


def sample_of(train: Part, *, at_least: int | None = None) -> Iterator[Image.Image]:
    """Some images from all over a part, by which all are judged, read as `at_least` allows."""
    step = -(-len(train) // INSPECTED)
    return (train.images.read(index, at_least=at_least) for index in range(0, len(train), step))


def default_epochs(strategy: str, spec: BackboneSpec, images: int, preprocessing: Preprocessing) -> tuple[int, str]:
    """The number of epochs: 30 where an epoch costs next to nothing, else 10."""
    if strategy.partition(":")[0] == "head-only":
        return MANY_EPOCHS, "an epoch of a head alone costs next to nothing"
    forward = forward_gmacs(spec, images, preprocessing)
    if forward is None:
        return FEW_EPOCHS, "the cost of an epoch is not known"
    gmacs = 3 * forward
    cost = f"an epoch has about {gmacs:,.0f} billion multiply-accumulates"
    return (MANY_EPOCHS if gmacs < CHEAP_GMACS else FEW_EPOCHS), cost


def default_patience(config: FinetuneConfig, epochs: int, *, is_measured: bool = True) -> tuple[int, str]:
    """The epochs without an improvement after which a phase ends."""
    if not is_measured:
        return epochs, "no image is held out to tell an improvement by"
    if config.best_epoch == "highest":
        return epochs, "nobody asked for early stopping"
    return max(LEAST_PATIENCE, -(-epochs // 3)), "what does not improve for a third of all epochs rarely does later"


def default_device(device: torch.device) -> tuple[str, str]:
    """The device of `--device auto`, as `find_device` found it."""
    kind = kind_of(device)
    return device.type, f"{kind.title} is here" if kind.is_accelerator else "no GPU is here"


def default_precision(device: torch.device) -> tuple[Precision, str]:
    """The number type of the forward pass: see `resolve_precision`."""
    precision, kind = resolve_precision("auto", device), kind_of(device)
    if not kind.is_accelerator:
        return precision, "a CPU computes in it"
    return precision, f"{kind.title} {'supports' if precision == 'bfloat16' else 'is not known to support'} bfloat16"


def default_decoding(train: Part, device: torch.device, workers: int) -> tuple[Decoding, str]:
    """Who decodes images: threads share one interpreter, which hands out too few for a GPU, and
    processes take a moment to start."""
    if not kind_of(device).is_accelerator:
        return "threads", "they keep up with a CPU"
    if not HAS_DECODERS:
        return "threads", "no process inherits an open file on Windows"
    if workers < FEWEST_DECODERS or len(train) < FEWEST_DECODED or content_of(train.images, 0) is None:
        return "threads", f"processes pay for {FEWEST_DECODED:,} image files and {FEWEST_DECODERS} cores, or more"
    return "processes", "threads of one interpreter are too slow for a GPU"


def reason_of_views(asked: FinetuneConfig, plan: Plan, caching: Caching) -> str:
    """The reason for the number of cached views that `choose_caching` chose."""
    depths = [plan.frozen_depth(phase) for phase in plan.phases]
    if caching.views == 0:
        return "the cache budget is too small" if any(depths) and asked.views != 0 else "no stage is frozen"
    if asked.augment == "none":
        return "images without augmentation have one view"
    if asked.augment == "flip" and caching.views == 2:
        return "an image and its mirror image are all the views of flip"
    if caching.views == plan.epochs and asked.views != caching.views:
        return "every epoch sees another view"
    if all(depth in (0, len(plan.stages)) for depth in depths):
        return "more views bring a head alone no accuracy"
    return "trained stages see several views"
