"""The exhibits of the failure museum: each makes one mistake on the bundled images, and measures what it hides.

Every exhibit trains a head on the frozen efficientnet_lite0 at 64 pixels by the command line itself, in a folder of
its own, and quotes lines that zoo printed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import nn

import zoo_core
from museum_room import SIDE, Exhibit, Room, Share, bundled, images_of, line_with, write
from zoo_core.data.batches import Batches
from zoo_core.data.bundled import FASHION_CLASSES
from zoo_core.data.folders import read_folders
from zoo_core.data.on_device import normalised

SURE = 0.9
BATCH = 32
RARE, OTHERS = "Shirt", ("T-shirt/top", "Pullover", "Dress", "Coat")
CLOTHES, STRANGERS = FASHION_CLASSES[:5], ("Sandal", "Sneaker", "Bag", "Ankle boot")


def leakage(room: Room) -> Exhibit:
    """Six photos of each thing, dealt into training and validation by chance."""
    generator = np.random.default_rng(0)
    photos, new = room.folder / "photos", room.folder / "new"
    things, versions = max(2, room.train // 10), 6
    for place, name in enumerate(FASHION_CLASSES):
        for number, image in enumerate(images_of("train", name, things), place * things):
            write(photos, name, [_again(image, generator) for _ in range(versions)], f"thing{number}-")
        write(new, name, images_of("val", name, room.val))
    room.finetune(photos, "by-chance")
    told = room.finetune(photos, "by-thing", "--group-by", "(thing[0-9]+)")
    grouped = room.accuracy("", "by-thing")
    (bag,) = images_of("train", "Bag", 1)
    return Exhibit(
        room.accuracy("validation images, dealt by chance", "by-chance"),
        room.accuracy("new things, the same run", "by-chance", new),
        ("zoo finetune --backbone efficientnet_lite0 --data photos/ --group-by '(thing[0-9]+)'",),
        (line_with(told, "groups"), line_with(told, "Accuracy on")),
        f"Dealt by thing, the validation images have {100 * grouped.share:.1f} %.",
        tuple((_again(bag, generator), word) for word in ("trained on", "trained on", "held out")),
    )


def _again(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """One more photo of the same thing: moved by up to three pixels, lighter or darker."""
    left, top = (int(move) for move in generator.integers(-3, 4, 2))
    moved = Image.new("L", image.size)
    moved.paste(image, (left, top))
    return ImageEnhance.Brightness(moved).enhance(float(generator.uniform(0.8, 1.2)))


def imbalance(room: Room) -> Exhibit:
    """A class with a twentieth of the images of the other, and accuracy as the figure."""
    photos, every = room.folder / "photos", room.folder / "shirts"
    for part, count in (("train", room.train), ("val", room.val)):
        for number, name in enumerate(OTHERS):
            write(photos / part, "other", images_of(part, name, count), f"{number}-")
        write(photos / part, RARE, images_of(part, RARE, max(2, len(OTHERS) * count // 20)))
    write(every, RARE, images_of("val", RARE, room.val))
    told = room.finetune(photos, "as-it-is")
    balanced = room.finetune(photos, "balanced", "--balance", "weights", "--metric", "balanced-accuracy")
    found = room.accuracy("", "balanced", every)
    (other,), (rare,) = images_of("val", "Coat", 1), images_of("val", RARE, 1)
    return Exhibit(
        room.accuracy("validation images answered rightly", "as-it-is"),
        room.accuracy("shirts that are found", "as-it-is", every),
        (
            "zoo finetune --backbone efficientnet_lite0 --data photos/",
            "zoo finetune --backbone efficientnet_lite0 --data photos/ --balance weights --metric balanced-accuracy",
        ),
        (line_with(told, "Imbalance"), line_with(told, "Baseline"), line_with(balanced, "Balanced accuracy on")),
        f"With the second command {found.text} of the shirts are found.",
        ((other, "other, 20 times"), (rare, "shirt, once")),
    )


def normalisation(room: Room) -> Exhibit:
    """Images that reach the network as bytes from 0 to 255, as cameras and OpenCV give them."""
    photos = bundled(room, FASHION_CLASSES)
    room.finetune(photos, "run")
    run = zoo_core.load(room.folder / "run", device="cpu")
    (bag,) = images_of("val", "Bag", 1)
    tensor_CHW = (torch.from_numpy(np.array(bag.convert("RGB"))).permute(2, 0, 1) / 255 - 0.5) / 0.5
    try:
        run.predict(tensor_CHW)
        raise SystemExit("a normalised tensor was taken")
    except zoo_core.ZooError as error:
        refused = str(error)
    means, spreads = run.preprocessing.mean, run.preprocessing.std
    return Exhibit(
        _answered(run, photos, "images normalised by other numbers", spread=1 / 255),
        _answered(run, photos, "images normalised by the run"),
        ("zoo predict RUN photos/",),
        (refused,),
        f"This network's means are {', '.join(f'{one:.3f}' for one in means)} and its spreads "
        f"{', '.join(f'{one:.3f}' for one in spreads)} of images from 0 to 1.",
        ((bag, "0 to 1, less the mean"), (bag.point(lambda value: 255 if value > 2 else 0), "0 to 255")),
    )


def batch_norm(room: Room) -> Exhibit:
    """A network that answers in training mode, folder by folder: `eval()` was forgotten."""
    photos = bundled(room, FASHION_CLASSES)
    room.finetune(photos, "run")
    own, other = (zoo_core.load(room.folder / "run", device="cpu") for _ in range(2))
    norms = [module for module in other.network.modules() if isinstance(module, nn.BatchNorm2d)]
    other.network.train()
    wrong = _answered(other, photos, "answers in training mode, folder by folder")
    again = zoo_core.load(room.folder / "run", device="cpu")
    zoo_core.freeze(again.network, "head-only")
    again.network.train()
    frozen = _answered(again, photos, "")
    bags, shoes = images_of("val", "Bag", 2), images_of("val", "Sneaker", 1)
    return Exhibit(
        wrong,
        _answered(own, photos, "answers in evaluation mode"),
        ("zoo predict RUN photos/",),
        (),
        f"All {len(norms)} batch norms of a base that `zoo_core.freeze` froze stay still under `train()`: {frozen.text}.",
        ((bags[0], "a batch of"), (bags[1], "bags alone"), (shoes[0], "never a shoe")),
    )


def _answered(run: zoo_core.Predictor, photos: Path, words: str, spread: float = 1.0) -> Share:
    """The validation images that a run's network answers rightly in the mode that it is in, folder by folder.

    Each channel is divided by `spread` once more.
    """
    part, right = read_folders(photos).parts["val"], 0
    for pixels_BCHW, targets_B in Batches(part, run.preprocessing, BATCH, 1).in_order():
        with torch.no_grad():
            outputs_BK = run.network(normalised(pixels_BCHW, run.preprocessing, run.device) / spread)
        right += int((outputs_BK.argmax(1).cpu() == targets_B).sum())
    return Share(words, right, len(part))


def centre_crop(room: Room) -> Exhibit:
    """Wide photos whose thing stands anywhere, of which the network sees the middle."""
    generator = np.random.default_rng(0)

    def wide(image: Image.Image) -> Image.Image:
        strip = Image.new("L", (3 * SIDE, SIDE))
        strip.paste(image, (int(generator.integers(0, 2 * SIDE + 1)), 0))
        return strip

    photos = bundled(room, FASHION_CLASSES, wide)
    found, _ = room.zoo("check", str(photos), "--backbone", "none", may_fail=True)
    room.finetune(photos, "crop")
    room.finetune(photos, "pad", "--fit", "pad")
    (shoe,) = images_of("val", "Ankle boot", 1)
    strip = Image.new("L", (3 * SIDE, SIDE))
    strip.paste(shoe, (2 * SIDE - 8, 0))
    middle = strip.crop((SIDE, 0, 2 * SIDE, SIDE))
    return Exhibit(
        room.accuracy("validation images, centre crop", "crop"),
        room.accuracy("the same images, --fit pad", "pad"),
        ("zoo check photos/", "zoo finetune --backbone efficientnet_lite0 --data photos/ --fit pad"),
        (line_with(found, "cut off"), line_with(found, "crop", "%")),
        "",
        ((strip, "the photo"), (middle, "what is seen")),
    )


def stranger(room: Room) -> Exhibit:
    """Shoes and bags, shown to a network that knows five kinds of clothes."""
    photos, strange = bundled(room, CLOTHES), room.folder / "strange"
    for name in STRANGERS:
        write(strange, name, images_of("val", name, room.val))
    room.finetune(photos, "run")
    answers = _answers(room, strange)
    own = _answers(room, photos / "val", "--reject")
    known = _answers(room, strange, "--reject")
    surest = max(answers, key=lambda row: float(row["answers"][0]["probability"]))
    top = surest["answers"][0]
    with Image.open(surest["image"]) as opened:
        picture = opened.convert("L")
    rejected = Share("", sum(not row["answers"] for row in own), len(own))
    _, told = room.zoo("predict", str(room.folder / "run"), str(surest["image"]), "--reject", "--device", "cpu")
    return Exhibit(
        Share("strangers answered with more than 90 %", sum(map(_is_sure, answers)), len(answers)),
        Share("the same with --reject", sum(map(_is_sure, known)), len(known)),
        ("zoo predict RUN photos/ --reject",),
        (line_with(told, "unlike").removeprefix(f"{strange}/"),),
        f"Of the run's own validation images --reject refuses {rejected.text}.",
        ((picture, f"{top['class']}: {100 * top['probability']:.1f} %"),),
    )


def _is_sure(row: dict[str, Any]) -> bool:
    return bool(row["answers"]) and row["answers"][0]["probability"] > SURE


def _answers(room: Room, folder: Path, *options: str) -> list[dict[str, Any]]:
    told, _ = room.zoo("predict", str(room.folder / "run"), str(folder), "--device", "cpu", "--json", *options)
    rows: list[dict[str, Any]] = json.loads(told)["predictions"]
    return rows


EXHIBITS: dict[str, Callable[[Room], Exhibit]] = {
    "leakage": leakage,
    "imbalance": imbalance,
    "normalisation": normalisation,
    "batch-norm": batch_norm,
    "centre-crop": centre_crop,
    "stranger": stranger,
}
