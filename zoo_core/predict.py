"""A predictor: a fine-tuned run, or a pretrained backbone with its original classifier, ready for
images.

Shapes: B batch, N images, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from zoo_core.attribution import naming_plugins
from zoo_core.data.batches import Batches, default_workers
from zoo_core.data.brightness import are_negatives
from zoo_core.data.decode import MAX_PIXELS, open_image
from zoo_core.data.given import GivenImage, GivenImages, ReadableImages, file_of, given_images, to_image
from zoo_core.data.on_device import normalised
from zoo_core.data.prepared import prepared, prepared_content
from zoo_core.data.sources import Images, Part
from zoo_core.data.transforms import Pixels, decoded_side
from zoo_core.devices.precision import as_usual, exact_float32, full_precision
from zoo_core.errors import DataError, UsageError, ZooError, brief, printable, shown
from zoo_core.frozen.inputs import ImageInputs
from zoo_core.frozen.split import averaged, pooled_by
from zoo_core.model.assemble import Model
from zoo_core.runs.directory import FITTED
from zoo_core.runs.notebook_tables import ShownRun
from zoo_core.runs.schema import RunFacts
from zoo_core.settings import BadImages
from zoo_core.tasks.metrics import Evaluation
from zoo_core.tasks.objective import Objective
from zoo_core.tasks.prediction import NO_STRANGERS, Prediction, Predictions, as_stranger
from zoo_core.training.evaluator import Evaluator
from zoo_core.weights_specs import Preprocessing

BATCH_SIZE = 16
ADDRESS = re.compile(r"(https?):/+")  # a path has one slash where an address has two
HINT = "the image is bright where those of the weights were dark, or the reverse: invert it"


@dataclass(frozen=True)
class Predictor(ShownRun):
    """A network with the preprocessing of its images and the names of its outputs."""

    title: str
    network: nn.Module
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    device: torch.device
    objective: Objective
    facts: RunFacts | None = None
    directory: Path | None = None
    """The run directory, None for a backbone."""

    def predict(
        self,
        images: GivenImage | Iterable[GivenImage],
        *,
        top: int = 5,
        threshold: float | None = None,
        tta: bool = False,
        coverage: float | None = None,
        reject: bool = False,
        bad_images: BadImages = "fail",
    ) -> list[Prediction]:
        """Predict images: one or several paths, PIL images, arrays (H, W, C) of uint8, or tensors
        (C, H, W).

        Tensors hold uint8 or floats in 0..1, before any normalisation, and may be batches (B, C,
        H, W). All images are resized, cropped and normalised by zoo. Returns a prediction for
        each image: the `top` most probable classes, the labels with a probability above their
        threshold (0.5 where none was fitted), or all numbers. `threshold` limits classes and labels
        to those above that probability; `tta` (test-time augmentation) answers with the mean output
        of an image and its mirror image. With a `coverage` of 0.9 the answer is a set of classes,
        or an interval of each number, that holds the true one for 90 % of images like the run's.
        An image unlike anything the run was trained on has a hint, and with `reject` no answers.

        Raises UsageError for other types, for settings that are none, and where the run knows no
        such sets or intervals, DataError that names the first image that cannot be read, before
        anything is computed, and ZooError for outputs that are not finite. With `bad_images` "skip"
        an image that cannot be read, or whose outputs are not finite, has a prediction without
        answers, whose `problem` says why.
        """
        _check_asked(top, threshold, bad_images)
        given = given_images(images)
        if bad_images == "skip":
            return Predictions(
                self.predictions(given, top=top, threshold=threshold, tta=tta, coverage=coverage, reject=reject)
            )
        _check_readable(given)
        found = []
        for one in self.predictions(given, top=top, threshold=threshold, tta=tta, coverage=coverage, reject=reject):
            if one.problem:
                raise (ZooError if one.is_read else DataError)(one.problem)
            found.append(one)
        return Predictions(found)

    def predictions(
        self,
        images: Images,
        *,
        top: int = 5,
        threshold: float | None = None,
        tta: bool = False,
        coverage: float | None = None,
        reject: bool = False,
    ) -> Iterator[Prediction]:
        """Predict any list of images, batch by batch, as `predict` does with `bad_images` "skip"."""
        bounds = None if coverage is None else self.objective.bounds(coverage)
        if reject:
            self.check_knows_strangers()
        readable = ReadableImages(images)
        batches = self._batches(Part(readable, np.zeros(len(images), dtype=np.int64)))
        done = 0
        for pixels_BCHW, _ in batches.in_order():
            places = range(done, done + len(pixels_BCHW))
            found = self.answer(
                pixels_BCHW, [images.name(place) for place in places], top=top, threshold=threshold, tta=tta,
                bounds=bounds, reject=reject,
            )  # fmt: skip
            for place, one in zip(places, found, strict=True):
                problem = readable.problems.get(place)
                yield one if problem is None else Prediction(one.image, (), problem=problem, is_read=False)
            done += len(pixels_BCHW)

    def prepare(self, image: bytes | GivenImage, *, max_pixels: int = MAX_PIXELS) -> Pixels:
        """The pixels (S, S, C) of one image as the network sees it, for `answer`; bytes are those
        of an image file. Threads may prepare images while one answers.

        Raises DataError whose text continues after the image's name.
        """
        if isinstance(image, bytes):
            return prepared_content(image, self.preprocessing, max_pixels)
        return prepared(to_image(image, at_least=decoded_side(self.preprocessing)), self.preprocessing)

    def answer(
        self,
        pixels_BCHW: Tensor,
        names: Sequence[str],
        *,
        top: int = 5,
        threshold: float | None = None,
        tta: bool = False,
        bounds: Sequence[float] | None = None,
        reject: bool = False,
    ) -> list[Prediction]:
        """Answer images that are resized and cropped already, as bytes; one whose outputs are not
        finite has a `problem`."""
        self.network.eval()
        outputs_BK, distances_B = self._outputs(pixels_BCHW, tta)
        values_BK = self.objective.values(outputs_BK)
        rows = zip(names, outputs_BK, values_BK, self._negatives(pixels_BCHW), distances_B, strict=True)
        found = []
        for name, outputs_K, values_K, is_negative, distance in rows:
            if not outputs_K.isfinite().all():
                found.append(Prediction(name, (), problem=_not_finite(self.title, name)))
                continue
            answers = self.objective.answers(outputs_K, self.classes, top, threshold, bounds)
            values, hint = tuple(values_K.tolist()), HINT if is_negative else None
            intervals = self.objective.intervals(values, bounds)
            task = self.objective.task.name
            one = Prediction(name, answers, hint, values, intervals, distance, task=task)
            found.append(as_stranger(one, self.objective.fitted.familiar, reject=reject))
        return found

    @property
    def answer_type(self) -> Literal["float32", "float64"]:
        """The type of the answers: float64 for numbers that differ by less than float32 can say.

        A black image is answered to find it out.
        """
        channels, side = self.preprocessing.channels, self.preprocessing.size
        self.network.eval()
        outputs_1K, _ = self._outputs(torch.zeros(1, channels, side, side, dtype=torch.uint8), tta=False)
        return "float64" if outputs_1K.dtype == torch.float64 else "float32"

    def check_knows_strangers(self) -> None:
        """Raise UsageError where no record of the training images' features is here."""
        if self.objective.fitted.familiar is None:
            raise UsageError(NO_STRANGERS)

    def _outputs(self, pixels_BCHW: Tensor, tta: bool) -> tuple[Tensor, list[float | None]]:
        """The outputs (B, K) for bytes, on the CPU, with `tta` the mean with those of the mirror
        images; and the distance of each image to those of the training, where the run knows it."""
        familiar = self.objective.fitted.familiar
        distances: list[float | None] = [None] * len(pixels_BCHW)
        with as_usual(), exact_float32(self.device), torch.inference_mode(), naming_plugins():
            images_BCHW = normalised(pixels_BCHW, self.preprocessing, self.device)
            if familiar is not None and isinstance(self.network, Model):
                features = self.network.backbone(images_BCHW)
                described = full_precision(averaged(pooled_by(self.network.head)(features))).cpu()
                if described.shape[1] != familiar.means_GF.shape[1]:
                    raise ZooError(
                        f"{printable(self.title)}: {FITTED} was not fitted for this network. Remove it to go without."
                    )
                distances = familiar.distances(described.double().numpy()).tolist()
                outputs_BK = full_precision(self.network.head(features))
            else:
                outputs_BK = full_precision(self.network(images_BCHW))
            if tta:
                outputs_BK = (outputs_BK + full_precision(self.network(images_BCHW.flip(3)))) / 2
            return outputs_BK.cpu(), distances

    def evaluate(self, part: Part, watch: Callable[[int, int], None] | None = None) -> Evaluation:
        """Measure the network on images whose targets are in the order of `classes`."""
        return self.measure(*self.outputs(part, watch), part.groups)

    def outputs(
        self,
        part: Part,
        watch: Callable[[int, int], None] | None = None,
        compute: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Outputs (N, K) for N images, and their targets (N) or (N, K), on the CPU.

        `compute` maps normalised images (B, C, H, W) to outputs in place of the network.
        """
        inputs = ImageInputs(self._batches(part), self.device)
        with as_usual():
            return Evaluator(self.objective, self.device).outputs(self.network, inputs, compute, watch)

    def measure(self, outputs_NK: Tensor, targets: Tensor, groups: Sequence[str] | None = None) -> Evaluation:
        """The figures of outputs, with the group of each image if it has one. Raises ZooError where
        they are no finite numbers."""
        evaluation = self.objective.measure(outputs_NK, targets, groups)
        if not math.isfinite(evaluation.loss):
            raise ZooError(_not_finite(self.title, "some of the images"))
        return evaluation

    def _negatives(self, pixels_BCHW: Tensor) -> list[bool]:
        """Whether each image is a negative of the weights' images; a run may have learned from
        negatives."""
        if self.facts is not None:
            return [False] * len(pixels_BCHW)
        return are_negatives(pixels_BCHW, self.preprocessing)

    def _batches(self, part: Part) -> Batches:
        return Batches(part, self.preprocessing, BATCH_SIZE, default_workers())


def _check_asked(top: int, threshold: float | None, bad_images: str) -> None:
    if isinstance(top, bool) or not isinstance(top, Integral) or top < 1:
        raise UsageError(f"`top` is how many classes to name, a whole number from 1 on, and not {brief(top)}.")
    if threshold is not None and not (isinstance(threshold, Real) and 0 <= threshold <= 1):
        raise UsageError(f"`threshold` is a probability from 0 to 1, and not {brief(threshold)}.")
    if bad_images not in get_args(BadImages):
        raise UsageError(f"`bad_images` is {' or '.join(map(repr, get_args(BadImages)))}, and not {brief(bad_images)}.")


def _check_readable(given: GivenImages) -> None:
    """Raise DataError or UsageError for the first file that cannot be read."""
    for value in given.values:
        if isinstance(value, str | Path):
            address = ADDRESS.match(str(value))
            if address and not Path(value).is_file():
                rest = shown(str(value)[address.end() :])
                raise UsageError(f"{address[1]}://{rest} is an address. Download the image and give its file.")
            open_image(file_of(value))


def _not_finite(title: str, images: str) -> str:
    return f"{printable(title)} gives numbers that are not finite for {printable(images)}. Are its weights sound?"
