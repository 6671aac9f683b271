"""The library takes the images that people have, and gives for all forms of one image the same answers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor, to_tensor

import zoo_core
from zoo_core import DataError, Model, Predictor, UsageError
from zoo_core.catalog import Catalog
from zoo_core.data.batches import Batches
from zoo_core.data.given import given_images
from zoo_core.data.on_device import normalised
from zoo_core.data.sources import Part


@pytest.fixture(scope="module")
def predictor(catalog: Catalog) -> Predictor:
    return zoo_core.load("lenet5", device="cpu", catalog=catalog)


@pytest.fixture
def photo(photos: Path) -> Path:
    return photos / "red" / "1.png"


def colour(photo: Path) -> Image.Image:
    with Image.open(photo) as image:
        return image.convert("RGB")


FORMS: dict[str, Callable[[Path], Any]] = {
    "a path": lambda photo: photo,
    "a text": str,
    "a PIL image": colour,
    "an array": lambda photo: np.asarray(colour(photo)),
    "a tensor of bytes": lambda photo: pil_to_tensor(colour(photo)),
    "a tensor of floats": lambda photo: to_tensor(colour(photo)),
    "a batch of arrays": lambda photo: np.asarray(colour(photo))[None],
    "a batch of tensors": lambda photo: to_tensor(colour(photo))[None],
    "a list": lambda photo: [photo],
    "a tuple": lambda photo: (colour(photo),),
    "a generator": lambda photo: (one for one in [str(photo)]),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_image_has_the_same_answers(predictor: Predictor, photo: Path, form: str) -> None:
    (expected,) = predictor.predict([photo])
    (answer,) = predictor.predict(FORMS[form](photo))
    assert answer.answers == expected.answers


def test_images_from_memory_are_numbered_and_files_have_their_paths(predictor: Predictor, photo: Path) -> None:
    answers = predictor.predict([photo, np.zeros((9, 9), np.uint8), Image.new("L", (40, 30))])
    assert [answer.image for answer in answers] == [str(photo), "image 1", "image 2"]


def test_no_images_have_no_answers(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (3, "int is no image. Give a path, a PIL image"),
        (b"photo.jpg", "bytes is no image"),
        ([None], "NoneType is no image"),
        (np.zeros((8, 8, 3)), r"ndarray \(8, 8, 3\) of float64 is no image"),
        (np.zeros((3, 8, 8), np.uint8), r"ndarray \(3, 8, 8\) of uint8 is no image"),
        (torch.zeros(8, 8, 3), r"Tensor \(8, 8, 3\) of torch.float32 is no image"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "of torch.int64 is no image"),
        ([[np.zeros((8, 8), np.uint8)]], "list is no image"),
    ],
)
def test_other_types_and_shapes_are_usage_errors(predictor: Predictor, images: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        predictor.predict(images)


def test_normalised_tensors_are_refused_with_the_reason(predictor: Predictor) -> None:
    with pytest.raises(
        DataError, match=r"image 0 has values from -1 to 1, not in 0..1. Give it before it is normalised"
    ):
        predictor.predict(torch.linspace(-1, 1, 3 * 8 * 8).view(3, 8, 8))


def test_a_text_is_one_path_and_a_missing_one_is_named(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="nowhere.jpg is not there"):
        predictor.predict("nowhere.jpg")


@pytest.fixture
def model(catalog: Catalog) -> Model:
    return zoo_core.create_model("efficientnet_lite0", num_classes=2, weights="none", catalog=catalog)


def large_jpeg(tmp_path: Path) -> Path:
    """A photo that zoo decodes at half its size, turned by its EXIF orientation."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((900, 1200), Image.Resampling.BICUBIC)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "large.jpg", exif=exif)
    return tmp_path / "large.jpg"


@pytest.mark.parametrize("kind", ["large JPEG", "RGBA PNG"])
def test_a_models_transform_gives_the_tensor_of_zoos_own_pipeline(model: Model, tmp_path: Path, kind: str) -> None:
    """Seen to fail where an opened JPEG was decoded at its full size."""
    path = large_jpeg(tmp_path)
    if kind == "RGBA PNG":
        path = tmp_path / "clear.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 260, 4), dtype=np.uint8)).save(path)
    expected = model.preprocessing
    batches = Batches(Part(given_images(path), np.zeros(1, np.int64)), expected, 1, 1)
    ((pixels_1CHW, _),) = batches.in_order()
    (pipeline_CHW,) = normalised(pixels_1CHW, expected, torch.device("cpu"))
    with Image.open(path) as image:
        size = image.size
        tensor_CHW = model.transform()(image)
        assert image.size == size, "the image itself stays as it is"
    assert tensor_CHW.shape == (3, 224, 224)
    assert torch.equal(tensor_CHW, pipeline_CHW)


def test_a_transform_can_be_sent_to_the_processes_of_a_data_loader(model: Model) -> None:
    buffer = io.BytesIO()
    torch.save(model.transform(), buffer)
    buffer.seek(0)
    again = torch.load(buffer, weights_only=False)
    image = Image.new("RGB", (300, 300), (10, 200, 30))
    assert torch.equal(again(image), model.transform()(image))


@pytest.mark.parametrize("image", ["https://example.org/a.jpg", Path("https://example.org/a.jpg")], ids=type)
def test_an_address_is_said_to_be_one(catalog: Catalog, image: str | Path) -> None:
    """Seen to fail: "https:/example.org/a.jpg is not there", with one slash."""
    predictor = zoo_core.load("lenet5", device="cpu", catalog=catalog)
    with pytest.raises(UsageError, match="^https://example.org/a.jpg is an address. Download the image and give its"):
        predictor.predict(image)


def test_a_model_put_together_by_hand_has_no_preprocessing_to_tell(model: Model) -> None:
    with pytest.raises(UsageError, match="put together by hand; zoo_core.create_model"):
        _ = Model(model.backbone, model.head).preprocessing


def test_one_image_that_is_not_loaded_yet_is_answered_as_often_as_it_is_given(
    predictor: Predictor, tmp_path: Path
) -> None:
    """Seen to fail: two threads loaded it at once, and it was called damaged."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    for _ in range(5):
        with Image.open(tmp_path / "large.png") as image:
            answers = predictor.predict([image] * 6)
        assert len({answer.answers for answer in answers}) == 1


@pytest.mark.parametrize(
    "empty", [np.zeros((0, 5, 3), np.uint8), torch.zeros(3, 0, 5), torch.zeros(3, 5, 0, dtype=torch.uint8)]
)
def test_an_image_without_pixels_is_a_bad_image(predictor: Predictor, photo: Path, empty: Any) -> None:
    with pytest.raises(DataError, match="image 1 has no pixels"):
        predictor.predict([photo, empty])
    good, bad = predictor.predict([photo, empty], bad_images="skip")
    assert good.answers
    assert bad.problem == "image 1 has no pixels."


def test_an_image_whose_file_was_closed_is_a_bad_image(predictor: Predictor, photo: Path, tmp_path: Path) -> None:
    colour(photo).save(tmp_path / "closed.jpg")
    with (tmp_path / "closed.jpg").open("rb") as file:
        image = Image.open(file)
    (bad,) = predictor.predict(image, bad_images="skip")
    assert bad.problem is not None
    assert "closed file" in bad.problem


def test_an_open_file_is_refused_by_name(predictor: Predictor, photo: Path) -> None:
    with photo.open("rb") as file, pytest.raises(UsageError, match="an open file is no image"):
        predictor.predict(file)


def test_a_path_from_home_is_found(predictor: Predictor, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(photo.parent))
    (expected,) = predictor.predict(photo)
    (found,) = predictor.predict(f"~/{photo.name}")
    assert found.answers == expected.answers


@pytest.mark.parametrize(
    "asked",
    [{"top": 0}, {"top": 2.5}, {"top": True}, {"threshold": 2}, {"threshold": "a"}, {"bad_images": "Skip"}],
)
def test_settings_that_are_none_are_refused(predictor: Predictor, photo: Path, asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(asked))):
        predictor.predict(photo, **asked)


def test_numbers_of_numpy_are_settings_too(predictor: Predictor, photo: Path) -> None:
    (answer,) = predictor.predict(photo, top=np.int64(2), threshold=np.float32(0.0))  # type: ignore[arg-type]
    assert len(answer.answers) == 2
