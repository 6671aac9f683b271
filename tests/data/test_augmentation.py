"""Augmentations are chains of names: what a view shows is decided by the chain, the image and the view's number."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import RandAugment, TrivialAugmentWide

from helpers import act_as_accelerator
from zoo_core import AugmentSpec, PluginError, UsageError
from zoo_core.augmentations import EraseOptions, RotateOptions
from zoo_core.catalog import Catalog
from zoo_core.data.augmentation import Augmentation, augmentation_named, chosen_augmentation
from zoo_core.data.batches import Batches
from zoo_core.data.operations import BILINEAR, CHANGES, LEVELS, erase, rotate
from zoo_core.data.sources import ArrayImages, Part
from zoo_core.data.transforms import CENTRE, FRESH, as_image, as_pixels, crop_of, fresh_view
from zoo_core.discovery import PluginRecord
from zoo_core.frozen.view_identity import view_identity
from zoo_core.weights_specs import Preprocessing

COLOUR = Preprocessing(size=32, crop=0.75, mean=(0.5,) * 3, std=(0.25,) * 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 48, 44, 3), np.uint8)
CHANGED = ["color", "rotate", "erase:p=1", "trivial", "rand", "rotate+crop", "rotate+flip", "crop+flip+color:hue=0.1"]


def batches(augmentation: Augmentation) -> Batches:
    return Batches(Part(ArrayImages("noise", PIXELS), np.zeros(6, np.int64)), COLOUR, 6, 2, augmentation)


def seen(augmentation: Augmentation, *views: int) -> torch.Tensor:
    """Bytes (V, 6, C, H, W) of the views of six images."""
    return torch.stack(list(batches(augmentation).batches([[(index, view) for index in range(6)] for view in views])))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("none", "none"),
        ("flip", "flip"),
        ("crop", "crop"),
        ("crop+flip", "crop-flip"),
        ("flip + crop", "crop-flip"),
        ("crop-flip+color", "crop+flip+color"),
        ("flip+rotate:degrees=20+crop", "flip+rotate:20.0+crop"),
        ("color:strength=1e-1,hue=0.1+rand:n=3,m=4", "color:0.1,hue=0.1+rand:3,m=4"),
        ("zoo-core:trivial", "zoo-core:trivial"),
    ],
)
def test_a_chain_has_one_text_which_makes_it_again(catalog: Catalog, text: str, same: str) -> None:
    """The words of zoo 0.1 are those texts, and have the keys in the cache that they had."""
    augmentation = augmentation_named(text, catalog)
    assert augmentation.text == augmentation_named(same, catalog).text == same
    assert not augmentation.operations or view_identity(augmentation) == view_identity(
        augmentation_named(same, catalog)
    )
    if same in ("none", "flip", "crop-flip"):
        assert augmentation == Augmentation(same)
        assert view_identity(augmentation) == same


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop+flipp", "No augmentation 'flipp'. Did you mean 'flip'? `zoo list augmentations` shows all."),
        ("rotate:degrees=400", "'rotate': degrees must be at least 0 and at most 180, got 400."),
        ("rotate:angle=4", "'rotate' has no option 'angle'. Options of 'rotate': degrees=<float> (default 15.0)."),
        ("color+color:0.1", "'color' stands twice in 'color+color:0.1'. Leave one out."),
        ("crop-flip+crop", "'crop' stands twice"),
        ("crop++flip", "'crop++flip' lacks a name beside a +. An augmentation is a chain such as crop+flip+color"),
        ("", "'' lacks a name beside a +."),
        ("crop+", "'crop+' lacks a name"),
        ("none+flip", "'none' stands alone, and not in 'none+flip'. Leave it out, or the others."),
        ("function of a program: a.b", "handed over, and no name leads to it. Give it again: zoo_core.resume(run, aug"),
    ],
)
def test_a_chain_that_cannot_be_is_refused_with_the_way_out(catalog: Catalog, text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        augmentation_named(text, catalog)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", CHANGED)
def test_content_and_number_of_a_view_decide_every_draw(catalog: Catalog, text: str) -> None:
    augmentation = augmentation_named(text, catalog)
    states = random.getstate(), torch.get_rng_state()
    first = seen(augmentation, 1, 2, fresh_view(0, 3))
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1]), "the training draws from it"
    assert torch.equal(first, seen(augmentation, 1, 2, fresh_view(0, 3)))
    alone = batches(augmentation).load_batch([(2, 2)])
    assert torch.equal(first[1, 2], alone[0]), "other images of the batch change nothing"
    assert (first[0] != first[1]).any()
    copies = replace(batches(augmentation), part=Part(ArrayImages("copies", PIXELS[[0, 0]]), np.zeros(2, np.int64)))
    one, other = copies.load_batch([(0, 5), (1, 5)])
    assert torch.equal(one, other), "an image is its content, wherever it stands"
    square, views = PIXELS[0, :32, :32], range(1, 9)
    by_content = [[augmentation.changed(square, view, digest) for view in views] for digest in (b"a", b"b")]
    assert any((one != other).any() for one, other in zip(*by_content, strict=True)), "another digest, other draws"


def test_an_operation_draws_the_same_whatever_stands_beside_it(catalog: Catalog) -> None:
    square = PIXELS[0, :32, :32]
    flipped_after, before = (augmentation_named(text, catalog) for text in ("erase:p=1+rotate", "rotate"))
    (turn,) = before.operations
    erased = augmentation_named("erase:p=1", catalog).changed(square, 4, b"x")
    assert np.array_equal(flipped_after.changed(square, 4, b"x"), as_pixels(turn(as_image(erased), 4, b"x")))


@pytest.mark.parametrize("text", CHANGED)
def test_the_view_of_evaluation_is_never_changed(catalog: Catalog, text: str) -> None:
    assert torch.equal(seen(augmentation_named(text, catalog), CENTRE), seen(Augmentation(), CENTRE))


def test_crop_alone_has_the_boxes_of_crop_flip_and_mirrors_nothing() -> None:
    for view in range(1, 20):
        crop, both = (crop_of(PIXELS[0], 32, how, FRESH + view, b"x") for how in ("crop", "crop-flip"))
        assert (crop.box, crop.flipped) == (both.box, False)


def test_operations_follow_the_crop_on_an_accelerator_too(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    act_as_accelerator(monkeypatch)
    made = batches(augmentation_named("crop+flip+rotate", catalog))
    (there,) = made.batches_on(torch.device("cpu"), [[(index, FRESH) for index in range(6)]])
    assert torch.equal(there, seen(made.augment, FRESH)[0])


@pytest.mark.parametrize(("policy", "amount"), [(TrivialAugmentWide, "wide"), (RandAugment, "usual")])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_changes_are_those_of_torchvision(policy: type[Any], amount: str, mode: str) -> None:
    """Each change at three strengths, beside the same one of torchvision's."""
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (224, 224, 3), np.uint8)).convert(mode)
    fill = np.asarray(image).reshape(224 * 224, -1).mean(0).tolist()
    theirs = policy()
    space = theirs._AUGMENTATION_SPACE
    assert len(space) == len(CHANGES)
    order = ["Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast"]
    order += ["Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"]
    for name, change in zip(order, CHANGES, strict=True):
        magnitudes, signed = space[name]
        assert change.signed == signed
        for level in (0, 15, LEVELS):  # at those in between, rounded translations may be one pixel apart
            magnitude = magnitudes(LEVELS + 1, 224, 224)
            there = 0.0 if magnitude is None else float(magnitude[level])
            there = round(there) if name.startswith("Translate") else there
            expected = theirs._apply_image_or_video_transform(image, name, there, BILINEAR, {Image.Image: fill})
            ours = change.apply(image, level / LEVELS * getattr(change, amount), fill)
            difference = np.abs(as_pixels(ours).astype(int) - as_pixels(expected).astype(int))
            assert difference.max() <= 1, (name, level)


def test_a_turn_and_a_hole_are_of_the_size_asked_for() -> None:
    halves = Image.fromarray(np.repeat(np.array([[0, 254]], np.uint8), 50, axis=1).repeat(100, axis=0))
    holes = [erase(EraseOptions(area=0.3), halves, random.Random(seed)) for seed in range(200)]
    shares = [(np.asarray(one) == 127).mean() for one in holes if one is not halves]
    assert 70 < len(shares) < 130, "half of the time"
    assert 0.01 < min(shares) < 0.05
    assert 0.25 < max(shares) < 0.31
    line = Image.fromarray(np.eye(101, dtype=np.uint8)[[50] * 101] * 255)  # upright
    angles = []
    for seed in range(60):
        top = np.asarray(rotate(RotateOptions(30), line, random.Random(seed)))[25].argmax() - 50
        angles.append(np.degrees(np.arctan2(top, 25)))
    assert 25 < max(angles) < 32
    assert -32 < min(angles) < -25


def test_every_chain_has_a_key_of_its_own(catalog: Catalog) -> None:
    """Names, options and their order: any of them gives other views."""
    chains = ("none", "flip", "crop", "crop-flip", "rotate", "rotate:10", "crop+rotate", "rotate+crop", "rotate+color")
    chains += ("color+rotate", "color:0.1+rotate", "trivial", "rand", "rand:3")
    assert len({view_identity(augmentation_named(text, catalog)) for text in chains}) == len(chains)


def spots(image: Image.Image, chance: random.Random) -> Image.Image:
    image.putpixel((chance.randrange(image.width), chance.randrange(image.height)), (0,) * 3)
    return image


def test_a_function_is_an_augmentation_whose_views_are_found_by_nobody_else(catalog: Catalog) -> None:
    augmentation = chosen_augmentation(spots, catalog)
    assert augmentation is not None
    assert augmentation.text == f"function of a program: {__name__}.spots"
    assert ((seen(augmentation, 1) != seen(Augmentation(), 1)).any(2).sum((2, 3)) == 1).all()
    assert view_identity(augmentation) != view_identity(augmentation)
    assert chosen_augmentation("auto", catalog) is None


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda image, chance: np.asarray(image), "gave array("),
        (
            lambda image, chance: image.resize((8, 8)),
            "gave an image of 8x8 pixels in the mode RGB for an image of 32x32",
        ),
        (lambda image, chance: image.convert("L"), "It has to return a PIL image of the same size and mode."),
        (lambda image, chance: 1 / 0, "failed: ZeroDivisionError"),
    ],
)
def test_who_gives_no_such_image_is_named(catalog: Catalog, made: Any, message: str) -> None:
    for augmentation, subject, kind in (
        (chosen_augmentation(made, catalog), f"the augmentation function of a program: {__name__}", UsageError),
        (plugged(catalog, made), "zoo-mine: the augmentation 'mine'", PluginError),
    ):
        assert augmentation is not None
        with pytest.raises(kind) as caught:
            augmentation.changed(PIXELS[0, :32, :32], 1, b"x")
        assert subject in str(caught.value)
        assert message in str(caught.value)


def plugged(catalog: Catalog, made: Any) -> Augmentation:
    """The augmentation of a plugin with this function."""
    globals()["mine"] = lambda options, image, chance: made(image, chance)
    spec = AugmentSpec(name="mine", apply=f"{__name__}:mine", summary="s")
    record = PluginRecord("zoo-mine", "1.0", "mine", (spec,))
    return augmentation_named("mine", replace(catalog, records=(*catalog.records, record)))


def test_a_plugin_with_the_names_of_others_changes_no_default_and_no_run(catalog: Catalog) -> None:
    """Its name was lost from the text by which a run is resumed, and `crop-flip` was refused."""
    globals()["mine"] = lambda options, image, chance: image.rotate(90)
    specs = tuple(AugmentSpec(name=name, apply=f"{__name__}:mine", summary="s") for name in ("flip", "rotate"))
    both = replace(catalog, records=(*catalog.records, PluginRecord("zoo-mine", "1.0", "mine", specs)))
    for text in ("flip", "crop-flip"):
        assert augmentation_named(text, both) == Augmentation(text)
    chosen = augmentation_named("zoo-mine:flip+crop+zoo-core:rotate:10", both)
    assert chosen.text == "zoo-mine:flip+crop+zoo-core:rotate:10.0"
    assert [one.entry.distribution for one in augmentation_named(chosen.text, both).choices] == [
        "zoo-mine",
        "zoo-core",
        "zoo-core",
    ]
    assert [one.entry.distribution for one in augmentation_named("rotate", both).choices] == ["zoo-core"]


def test_the_code_that_counts_is_that_of_the_module_a_spec_names(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partial says that it is of functools, whose version changes with no edit of the plugin."""
    augmentation = plugged(catalog, spots)
    monkeypatch.setitem(globals(), "mine", partial(spots))
    monkeypatch.setattr("zoo_core.frozen.view_identity.code_digest", str)
    assert view_identity(augmentation).endswith(f" 1.0 {{'{__name__}'}}")


@pytest.mark.parametrize("name", ["auto", "none", "crop-flip", "3d"])
def test_a_name_that_means_something_else_is_refused(name: str) -> None:
    with pytest.raises(PluginError, match="must begin with a letter|zoo takes auto and none and crop-flip for words"):
        AugmentSpec(name=name, apply="a:b", summary="s")
