"""`explain`: for each image the answer, its heat map, and a check of the map.

Shapes: S side of the image as the network sees it, H and W cells of the map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.data.batches import Batches
from zoo_core.data.given import GivenImage, ReadableImages, given_images
from zoo_core.data.on_device import normalised
from zoo_core.data.sources import Images, Part
from zoo_core.devices.precision import exact_float32
from zoo_core.errors import DataError, UsageError, ZooError, did_you_mean, printable
from zoo_core.explaining import METHODS
from zoo_core.explaining.deletion import Deletion, deletion
from zoo_core.explaining.maps import StagedNetwork, heat_map, last_place, staged
from zoo_core.explaining.nearest import Nearest, TrainingImages
from zoo_core.library import load, run_or_backbone
from zoo_core.model.assemble import Model
from zoo_core.model.chain import Chain
from zoo_core.predict import Predictor


@dataclass(frozen=True, eq=False)
class Explanation:
    """The places in an image that speak for one answer."""

    image: str
    seen: npt.NDArray[np.uint8]
    """The image as the network sees it (S, S, 3), resized and cropped."""
    name: str
    """The class, label or number that is explained."""
    value: float
    """Its probability, or the number."""
    text: str
    """The value as `zoo predict` shows it."""
    at: str
    """The stage behind which the map was computed."""
    cells_HW: npt.NDArray[np.float32]
    """The heat map, at least 0."""
    deletion: Deletion | None
    """The check of the map; None for numbers, which have no probability to take away."""
    nearest: tuple[Nearest, ...] | None = None
    """The training images that are most like it; None where they were not looked for."""


class Unexplained(ZooError):
    """An image has no explanation; others may have one."""


@dataclass(frozen=True)
class Explainer:
    """A run or a pretrained backbone, with the stage, the method and the output to explain."""

    predictor: Predictor
    network: StagedNetwork
    method: str
    at: str | None
    """A stage; None: the last one whose map is not zero everywhere."""
    output: int | None
    """The place of a class, label or number; None: the most probable one."""
    training: TrainingImages | None = None
    """The training images among which the nearest are looked for."""

    def explanations(self, images: Images, problems: list[str] | None = None) -> Iterator[Explanation]:
        """Explain the images in order. An image that cannot be read or explained is left out, and
        its reason is added to `problems`; without these DataError or Unexplained is raised, which
        names it."""
        readable = ReadableImages(images)
        batches = Batches(Part(readable, np.zeros(len(images), np.int64)), self.predictor.preprocessing, 1, 1)
        for index, (pixels_1CSS, _) in enumerate(batches.in_order()):
            try:
                if index in readable.problems:
                    raise DataError(readable.problems[index])
                with exact_float32(self.predictor.device):
                    explained = self._explain(images.name(index), pixels_1CSS)
            except (DataError, Unexplained) as error:
                if problems is None:
                    raise
                problems.append(str(error))
            else:
                yield explained

    def _explain(self, name: str, pixels_1CSS: Tensor) -> Explanation:
        predictor, network = self.predictor, self.network
        task = predictor.objective.task
        image_1CSS = normalised(pixels_1CSS, predictor.preprocessing, predictor.device)
        with torch.no_grad():  # inference tensors that a module keeps could not be differentiated later
            values_K = predictor.objective.values(predictor.network(image_1CSS))[0].cpu()
        if not values_K.isfinite().all():
            raise Unexplained(f"{printable(predictor.title)} gives numbers that are not finite for {printable(name)}.")
        output = int(values_K.argmax()) if self.output is None else self.output
        place = self.at or last_place(network, image_1CSS, output, self.method)
        if place is None:
            raise Unexplained(
                f"no stage has a heat map for '{printable(predictor.classes[output])}' in {printable(name)}: nothing in it "
                "speaks for that answer by this method. Try another --method, or --of another answer."
            )
        if not network.has_cells(network.features_at(place, image_1CSS)[0]):
            raise UsageError(f"the features behind '{place}' have no places in the image. Give --at an earlier stage.")
        cells_HW = heat_map(network, place, image_1CSS, output, self.method)

        def probability(images_TCSS: Tensor) -> Tensor:
            with torch.no_grad():
                return predictor.objective.values(predictor.network(images_TCSS))[:, output]

        pixels_SSC = pixels_1CSS[0].permute(1, 2, 0).numpy()
        return Explanation(
            image=name,
            seen=np.repeat(pixels_SSC, 3, 2) if pixels_SSC.shape[2] == 1 else pixels_SSC,
            name=predictor.classes[output],
            value=float(values_K[output]),
            text=task.answer_text(float(values_K[output])),
            at=place,
            cells_HW=cells_HW.numpy(),
            deletion=None if task.answers_with_all else deletion(image_1CSS[0], cells_HW, probability),
            nearest=None if self.training is None else self.training.nearest(image_1CSS, predictor.classes[output]),
        )


@names_plugins
def open_explainer(
    name: str | Path,
    catalog: Catalog | None = None,
    *,
    at: str | None = None,
    method: str = METHODS[0],
    output: str | None = None,
    weights: str = "default",
    device: str = "auto",
) -> Explainer:
    """Load a run or a pretrained backbone to explain its answers.

    `output` names a class, label or number, by default the most probable one; numbers have no such
    one, and the first is explained. Raises UsageError for an unknown stage, method or output, and
    as `load`.
    """
    if method not in METHODS:
        raise UsageError(f"there is no method '{printable(method)}'. Known: {', '.join(METHODS)}.")
    catalog = catalog or open_catalog()
    predictor = load(name, weights=weights, device=device, catalog=catalog)
    predictor.network.eval().requires_grad_(False)
    network = _network_of(predictor, name, weights, catalog)
    if at is not None and at not in network.places:
        near = did_you_mean(at, network.places)
        raise UsageError(f"there is no stage '{printable(at)}'.{near} Stages: {', '.join(network.places)}.")
    wanted = _place_of(output, predictor.classes)
    if wanted is None and predictor.objective.task.answers_with_all:
        wanted = 0
    return Explainer(predictor, network, method, at, wanted)


def explain(
    name: str | Path,
    images: GivenImage | Sequence[GivenImage],
    catalog: Catalog | None = None,
    *,
    at: str | None = None,
    method: str = METHODS[0],
    output: str | None = None,
    weights: str = "default",
    device: str = "auto",
) -> list[Explanation]:
    """Explain an answer of a run or a pretrained backbone for each image, as `open_explainer`
    says."""
    explainer = open_explainer(name, catalog, at=at, method=method, output=output, weights=weights, device=device)
    return list(explainer.explanations(given_images(images)))


def _network_of(predictor: Predictor, name: str | Path, weights: str, catalog: Catalog) -> StagedNetwork:
    """The stages of a run's model and its head, or of a published network with its classifier."""
    if isinstance(predictor.network, Model):
        return staged(predictor.network)
    found = run_or_backbone(name, weights, catalog)
    assert isinstance(predictor.network, Chain)
    assert not isinstance(found, Path)
    return StagedNetwork(dict(predictor.network.named_children()), found.spec.features)


def _place_of(name: str | None, names: Sequence[str]) -> int | None:
    if name is None:
        return None
    if name not in names:
        near, first = did_you_mean(name, names), ", ".join(map(printable, names[:10]))
        raise UsageError(f"the model has no output '{printable(name)}'.{near} Some of its outputs: {first}.")
    return list(names).index(name)
