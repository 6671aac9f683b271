"""`zoo explain`: the maps are those of captum, and the check of a map knows a good one from a bad one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from PIL import Image
from torch import Tensor, nn

from helpers import Zoo, make_photos
from zoo_core.catalog import Catalog
from zoo_core.errors import UsageError
from zoo_core.explaining import METHODS
from zoo_core.explaining.deletion import deletion
from zoo_core.explaining.explain import explain
from zoo_core.explaining.maps import StagedNetwork, enlarged, heat_map, last_place, layer_cam
from zoo_core.layout import Layout
from zoo_core.model.assemble import build_network


def staged(name: str, catalog: Catalog, seed: int = 0) -> StagedNetwork:
    choice = catalog.backbone(name)
    torch.manual_seed(seed)
    network = build_network(choice).eval().requires_grad_(False)
    return StagedNetwork(dict(network.named_children()), choice.spec.features)


@pytest.mark.parametrize(("name", "size"), [("resnet18", 64), ("efficientnet_lite0", 64)])
def test_maps_are_those_of_captum_at_every_stage(name: str, size: int, catalog: Catalog) -> None:
    network = staged(name, catalog)
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    whole = nn.Sequential(*network.stages.values())
    for place in network.places:
        stage = network.stages[place]
        theirs = LayerGradCam(whole, stage).attribute(image, 5, relu_attributions=True)[0, 0]
        product = LayerGradientXActivation(whole, stage).attribute(image, 5)[0].sum(0).relu()
        scale = theirs.abs().max().clamp_min(1e-6), product.abs().max().clamp_min(1e-6)
        assert torch.allclose(heat_map(network, place, image, 5, "grad-cam") / scale[0], theirs / scale[0], atol=1e-4)
        assert torch.allclose(heat_map(network, place, image, 5, "hires-cam") / scale[1], product / scale[1], atol=1e-4)


def test_layer_cam_counts_only_gradients_that_speak_for_the_answer() -> None:
    features, gradients = torch.tensor([[[2.0, 3.0]], [[1.0, -1.0]]]), torch.tensor([[[1.0, -5.0]], [[3.0, 2.0]]])
    assert layer_cam(features, gradients).tolist() == [[5.0, 0.0]]


class ClassToken(nn.Module):
    """Sums all tokens into the first one."""

    def forward(self, tokens_BND: Tensor) -> Tensor:
        return torch.cat([tokens_BND.sum(1, keepdim=True), tokens_BND[:, 1:]], 1)


class Patches(nn.Module):
    """A token for each pixel of a 2 x 2 image, behind a class token of zeros."""

    def forward(self, images_B1HW: Tensor) -> Tensor:
        tokens_BN1 = images_B1HW.flatten(1)[..., None]
        return torch.cat([torch.zeros_like(tokens_BN1[:, :1]), tokens_BN1], 1)


class Late(nn.Module):
    """Puts a class token of zeros in front."""

    def forward(self, tokens_BND: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(tokens_BND[:, :1]), tokens_BND], 1)


class First(nn.Module):
    def forward(self, tokens_BND: Tensor) -> Tensor:
        return tokens_BND[:, 0]


def test_a_class_token_that_comes_late_is_no_patch_of_the_stages_before_it() -> None:
    """Seen to fail: of four patches and one prefix token no square was left, and no stage had a map."""
    patches = nn.Sequential(nn.Flatten(1), nn.Unflatten(1, (-1, 1)))
    late = nn.Sequential(Late(), ClassToken())
    network = StagedNetwork({"patches": patches, "late": late, "head": First()}, Layout("tokens", prefix=1))
    image = torch.tensor([[[[1.0, 2.0], [3.0, 0.0]]]])
    assert last_place(network, image, 0, "hires-cam") == "patches"
    assert heat_map(network, "patches", image, 0, "hires-cam").tolist() == [[1.0, 2.0], [3.0, 0.0]]


def test_a_map_of_one_cell_is_no_map(catalog: Catalog) -> None:
    """Seen to fail: lenet5's last stage is 1 x 1, and the whole image was hot."""
    network = staged("lenet5", catalog)
    assert last_place(network, torch.rand(1, 1, 32, 32), 0, "hires-cam") in ("c1", "c3")


def test_patches_of_tokens_have_their_places_and_the_last_place_has_a_gradient() -> None:
    stages = {"patches": Patches(), "mixed": ClassToken(), "head": First()}
    network = StagedNetwork(stages, Layout("tokens", prefix=1))
    image = torch.tensor([[[[1.0, 2.0], [3.0, 0.0]]]])
    assert last_place(network, image, 0, "grad-cam") == "patches"
    assert heat_map(network, "patches", image, 0, "hires-cam").tolist() == [[1.0, 2.0], [3.0, 0.0]]


@pytest.mark.parametrize("method", METHODS)
def test_a_map_changes_with_the_weights(method: str, catalog: Catalog) -> None:
    """The sanity check of Adebayo et al. 2018: a map that stays the same shows the image, and not the network."""
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    networks = [staged("resnet18", catalog, seed) for seed in (0, 1)]
    maps = [enlarged(heat_map(network, "layer1", image, 5, method), 16).flatten() for network in networks]
    assert torch.corrcoef(torch.stack(maps))[0, 1] < 0.9


def test_deleting_by_the_true_map_takes_the_answer_away_sooner_than_by_chance() -> None:
    """The answer rests on the first quarter of the image alone."""
    image_CSS = torch.ones(1, 8, 8)
    true = torch.zeros(4, 4)
    true[:2, :2] = 1

    def value(images_T1SS: Tensor) -> Tensor:
        return images_T1SS[:, 0, :4, :4].mean((1, 2))

    found, worst = deletion(image_CSS, true, value), deletion(image_CSS, 1 - true, value)
    assert found.by_map < 0.2 < found.by_chance < 0.8 < worst.by_map
    assert (found.means_something, worst.means_something) == (True, False)


def test_the_whole_command_gives_maps_answers_and_a_picture(zoo: Zoo, tmp_path: Path) -> None:
    for name, colour in (("blue", (20, 40, 220)), ("red", (220, 40, 20))):
        (tmp_path / "spots" / name).mkdir(parents=True)
        for number in range(8):
            pixels = np.full((64, 64, 3), 60 + number, np.uint8)
            pixels[:24, :24] = colour
            Image.fromarray(pixels).save(tmp_path / "spots" / name / f"{number}.png")
    how = ("--weights", "none", "--image-size", 64, "--head", "logreg", "--strategy", "head-only", "--augment", "none")
    trained = zoo("finetune", "--backbone", "resnet18", "--data", "spots", *how, "--out", "run")
    assert trained.returncode == 0, trained.stderr
    asked = ("explain", "run", "spots/*/0.png", "--at", "layer2", "--method", "hires-cam")
    told = zoo(*asked, "--json", "-o", "maps.png")
    assert told.returncode == 0, told.stderr
    blue, red = json.loads(told.stdout)["explanations"]
    assert (blue["answer"], red["answer"]) == ("blue", "red")
    assert np.array(blue["map"]).shape == (8, 8)
    assert not np.allclose(blue["map"], red["map"])
    assert [near["answer"] for near in blue["nearest"]] == ["blue"] * 3
    assert all(near["image"].startswith("red/") and near["similarity"] <= 1.001 for near in red["nearest"])
    with Image.open(tmp_path / "maps.png") as picture:
        assert min(picture.size) > 500
    (tmp_path / "spots" / "red" / "7.png").unlink()
    gone = zoo(*asked, "--json", "-o", "gone.png")
    assert "no nearest training images: " in gone.stderr
    assert [one["nearest"] for one in json.loads(gone.stdout)["explanations"]] == [None, None]
    again = zoo(*asked, "-o", "maps.png")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)
    (tmp_path / "spots" / "red" / "0.png").write_bytes(b"no picture")
    rest = zoo(*asked, "--json", "-o", "rest.png")
    assert [one["answer"] for one in json.loads(rest.stdout)["explanations"]] == ["blue"]
    (problem,) = json.loads(rest.stdout)["problems"]
    assert problem.startswith("spots/red/0.png ")
    assert (tmp_path / "rest.png").is_file()
    assert rest.returncode == 1
    assert re.search(r"1 of 2 images have no explanation:\n  spots/red/0\.png ", rest.stderr)
    (tmp_path / "spots" / "blue" / "0.png").write_bytes(b"no picture")
    none = zoo(*asked, "-o", "none.png")
    assert (none.returncode, "2 of 2 images have no explanation:" in none.stderr) == (1, True)
    assert not (tmp_path / "none.png").exists()
    missing = zoo("explain", "run", "nowhere.png")
    assert (missing.returncode, "nowhere.png is not there" in missing.stderr) == (1, True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"at": "c9"}, "there is no stage 'c9'. Stages: c1, c3, c5"),
        ({"output": "11"}, "the model has no output '11'"),
        ({"method": "cam"}, "there is no method 'cam'. Known: grad-cam"),
    ],
)
def test_wrong_words_are_named_with_those_that_go(
    given: dict[str, str], message: str, catalog: Catalog, tmp_path: Path
) -> None:
    photo = make_photos(tmp_path / "photos", count=1) / "red" / "0.jpg"
    with pytest.raises(UsageError, match=message):
        explain("lenet5", [photo], catalog, device="cpu", **given)  # type: ignore[arg-type]
