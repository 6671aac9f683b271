"""`explain`: for each image the answer, its heat map, and a check of the map.

Shapes: S side of the image as the network sees it, H and W cells of the map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog
from zoo_core.data.batches import Batches
from zoo_core.data.decode import open_image
from zoo_core.data.given import given_images
from zoo_core.data.on_device import normalised
from zoo_core.data.sources import Part
from zoo_core.errors import UsageError, ZooError, did_you_mean, printable
from zoo_core.explaining.deletion import Deletion, deletion
from zoo_core.explaining.maps import METHODS, StagedNetwork, heat_map, last_place
from zoo_core.library import load, run_or_backbone
from zoo_core.model.assemble import Model
from zoo_core.model.chain import Chain
from zoo_core.predict import Predictor
from zoo_core.runs.directory import read_facts
from zoo_core.specs import HEAD, BackboneSpec

DEFAULT_METHOD = "grad-cam"


@dataclass(frozen=True, eq=False)
class Explanation:
    """What in an image speaks for one answer."""

    image: str
    seen: npt.NDArray[np.uint8]
    """The image as the network sees it (S, S, 3), resized and cropped."""
    name: str
    """The class, label or number that is explained."""
    value: float
    """Its probability, or the number."""
    at: str
    """The stage behind which the map was computed."""
    cells_HW: npt.NDArray[np.float32]
    """The heat map, at least 0."""
    deletion: Deletion


@names_plugins
def explain(
    name: str | Path,
    images: Sequence[str | Path],
    catalog: Catalog,
    *,
    at: str | None = None,
    method: str = DEFAULT_METHOD,
    output: str | None = None,
    weights: str = "default",
    device: str = "auto",
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> list[Explanation]:
    """Explain the most probable answer of a run or a pretrained backbone for each image, or `output`.

    `at` is a stage, by default the last one whose map is not zero everywhere; `method` one of
    METHODS. `watch` is told (images done, of how many).

    Raises UsageError for an unknown stage, method or output, and as `load` and `predict` do.
    """
    if method not in METHODS:
        raise UsageError(f"there is no method '{printable(method)}'. Known: {', '.join(METHODS)}.")
    spec = _backbone_of(name, weights, catalog)
    predictor = load(name, weights=weights, device=device, catalog=catalog)
    predictor.network.eval().requires_grad_(False)
    network = StagedNetwork(_stages_of(predictor.network), spec.features)
    if at is not None and at not in network.places:
        near = did_you_mean(at, network.places)
        raise UsageError(f"there is no stage '{printable(at)}'.{near} Stages: {', '.join(network.places)}.")
    wanted = _output_named(output, predictor.classes)
    if wanted is None and predictor.objective.task.answers_with_all:
        wanted = 0  # numbers of different kinds have no largest
    for image in images:
        open_image(Path(image))  # raises before any work is done
    found = []
    for one in _explanations(predictor, network, list(images), at, method, wanted):
        found.append(one)
        watch(len(found), len(images))
    return found


def _explanations(
    predictor: Predictor,
    network: StagedNetwork,
    images: list[str | Path],
    at: str | None,
    method: str,
    wanted: int | None,
) -> Iterator[Explanation]:
    given = given_images(images)
    batches = Batches(Part(given, np.zeros(len(given), np.int64)), predictor.preprocessing, 1, 1)
    task = predictor.objective.task
    for index, (pixels_1CSS, _) in enumerate(batches.in_order()):
        image_1CSS = normalised(pixels_1CSS, predictor.preprocessing, predictor.device)
        with torch.inference_mode():
            values_K = task.values(predictor.network(image_1CSS))[0].cpu()
        if not values_K.isfinite().all():
            raise ZooError(f"{printable(predictor.title)} gives numbers that are not finite for {given.name(index)}.")
        output = int(values_K.argmax()) if wanted is None else wanted
        place = at or last_place(network, image_1CSS, output, method)
        if not network.has_cells(network.features_at(place, image_1CSS)[0]):
            raise UsageError(f"the features behind '{place}' have no places in the image. Give --at an earlier stage.")
        cells_HW = heat_map(network, place, image_1CSS, output, method)

        def value(images_TCSS: Tensor, output: int = output) -> Tensor:
            with torch.inference_mode():
                return task.values(predictor.network(images_TCSS))[:, output]

        pixels_SSC = pixels_1CSS[0].permute(1, 2, 0).numpy()
        yield Explanation(
            image=given.name(index),
            seen=np.repeat(pixels_SSC, 3, 2) if pixels_SSC.shape[2] == 1 else pixels_SSC,
            name=predictor.classes[output],
            value=float(values_K[output]),
            at=place,
            cells_HW=cells_HW.numpy(),
            deletion=deletion(image_1CSS[0], cells_HW, value),
        )


def _backbone_of(name: str | Path, weights: str, catalog: Catalog) -> BackboneSpec:
    found = run_or_backbone(name, weights, catalog)
    if not isinstance(found, Path):
        return found.spec
    facts = read_facts(found)
    return catalog.backbone(f"{facts.backbone.distribution}:{facts.backbone.name}").spec


def _stages_of(network: nn.Module) -> dict[str, nn.Module]:
    """The stages of a run's model and its head, or of a published network with its classifier."""
    if isinstance(network, Model):
        return {**dict(network.backbone.named_children()), HEAD: network.head}
    assert isinstance(network, Chain)
    return dict(network.named_children())


def _output_named(name: str | None, names: Sequence[str]) -> int | None:
    if name is None:
        return None
    if name not in names:
        near = did_you_mean(name, names)
        raise UsageError(
            f"the model has no output '{printable(name)}'.{near} Some of its outputs: {', '.join(names[:10])}."
        )
    return list(names).index(name)
