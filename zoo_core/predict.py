"""A model ready to answer: a fine-tuned run, or a pretrained backbone with its original classifier.

Shapes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import importlib.util
import runpy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from zoo_core.catalog import Catalog, Choice
from zoo_core.data.batches import Batches, default_workers
from zoo_core.data.decode import open_image
from zoo_core.data.on_device import normalised
from zoo_core.data.sources import FolderImages, Part
from zoo_core.devices.precision import full_precision
from zoo_core.errors import UsageError, ZooError
from zoo_core.frozen.inputs import ImageInputs
from zoo_core.installing import install_hint
from zoo_core.model.assemble import Model, build_head_for, build_network
from zoo_core.runs.directory import read_run
from zoo_core.runs.schema import RunFacts
from zoo_core.specs import HEAD, BackboneSpec, Preprocessing
from zoo_core.tasks import task_named
from zoo_core.tasks.metrics import Evaluation
from zoo_core.tasks.objective import Objective, objective_for
from zoo_core.tensors import read_tensors
from zoo_core.training.evaluator import Evaluator
from zoo_core.weights.load import assign, build_empty, check_finite, check_keys_and_shapes, load_chain
from zoo_core.weights.resolve import load_whole, named_weights, unknown_weights

BATCH_SIZE = 16


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image: classes or labels with their probabilities, the likeliest first, or numbers."""

    image: str
    answers: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Predictor:
    """A network, what it expects and what its answers mean."""

    title: str
    network: nn.Module
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    device: torch.device
    objective: Objective
    facts: RunFacts | None = None

    def predict(self, images: Sequence[str | Path], *, top: int = 5) -> list[Prediction]:
        """Answer for image files. Raises DataError naming the first file that cannot be read.

        Of classes the `top` likeliest are told, of labels those above a probability of 0.5, of numbers all.
        """
        return list(self.predictions(images, top=top))

    def predictions(self, images: Sequence[str | Path], *, top: int = 5) -> Iterator[Prediction]:
        """Answer for image files, batch by batch."""
        paths = [Path(image) for image in images]
        for path in paths:
            if not path.is_file():
                open_image(path)  # says what is wrong with it before any work is done
        files = FolderImages(Path(), tuple(str(path) for path in paths))
        batches = self._batches(Part(files, np.zeros(len(paths), dtype=np.int64)))
        done = 0
        self.network.eval()
        for pixels_BCHW, _ in batches.in_order():
            with torch.inference_mode():
                outputs_BK = self.network(normalised(pixels_BCHW, self.preprocessing, self.device))
                outputs_BK = full_precision(outputs_BK).cpu()
            for outputs_K in outputs_BK:
                yield Prediction(str(images[done]), self.objective.answers(outputs_K, self.classes, top))
                done += 1

    def evaluate(self, part: Part, watch: Callable[[int, int], None] | None = None) -> Evaluation:
        """Measure on images whose targets stand in the order of `classes`."""
        inputs = ImageInputs(self._batches(part), self.device)
        return Evaluator(self.objective, self.device).evaluate(self.network, inputs, watch)

    def _batches(self, part: Part) -> Batches:
        return Batches(part, self.preprocessing, BATCH_SIZE, default_workers())


def open_run(directory: Path, catalog: Catalog, device: torch.device) -> Predictor:
    """Load a run directory. Raises ZooError when it is damaged or was made by a plugin that is not here."""
    run = read_run(directory)
    facts = run.facts
    backbone = catalog.backbone(_installed(facts.backbone.distribution, facts.backbone.name, catalog))
    head = catalog.head(_installed(facts.head.distribution, facts.head.name, catalog))
    tensors = read_tensors(run.weights_path)
    check_finite(tensors.items(), run.weights_path)
    base, _ = build_empty(lambda: build_network(backbone)).split()
    outputs = len(facts.classes)
    module = build_empty(
        lambda: build_head_for(base, backbone, head, facts.preprocessing, num_outputs=outputs, task=facts.task)
    )
    load_chain(base, tensors, path=run.weights_path, ignored=(f"{HEAD}.",), classifier=None)
    own = {key.removeprefix(f"{HEAD}."): tensor for key, tensor in tensors.items() if key.startswith(f"{HEAD}.")}
    check_keys_and_shapes(module.state_dict(keep_vars=True), own, subject=f"the head in {run.weights_path}")
    task_named(facts.task).match_units(module, own)
    assign(module, own)
    model = Model(base, module).eval().to(device)
    objective = objective_for(facts.task, module)
    return Predictor(str(directory), model, facts.preprocessing, facts.classes, device, objective, facts)


def _installed(distribution: str, name: str, catalog: Catalog) -> str:
    """The name to look up, with its distribution. Raises ZooError when that is not installed or failed to load."""
    record = next((record for record in catalog.records if record.distribution == distribution), None)
    if record is None:
        raise ZooError(
            f"the run needs '{name}' from {distribution}, which is not installed. If you trust that package, "
            f"for a plugin is code: {install_hint(distribution)}"
        )
    if record.failure:
        raise ZooError(f"the run needs '{name}' from {distribution}, which was skipped: {record.failure}.")
    return f"{distribution}:{name}"


def open_pretrained(choice: Choice[BackboneSpec], weights: str, device: torch.device) -> Predictor:
    """Load a backbone with its original classifier. Raises UsageError when its weights have none."""
    spec = choice.spec
    ref = named_weights(spec, weights)
    if ref is None and weights not in ("default", "none"):
        raise unknown_weights(spec, weights)
    if ref is None or not ref.has_classifier or ref.classes is None:
        raise UsageError(
            f"'{spec.name}' has no pretrained classifier to predict with. Fine-tune it first "
            f"(`zoo finetune --backbone {spec.name} --data DIR`) and predict with the run directory."
        )
    network = load_whole(choice, ref).eval().to(device)
    objective = objective_for("classification", network)
    return Predictor(
        f"{spec.name} ({ref.tag})", network, ref.preprocessing, class_names(ref.classes), device, objective
    )


def class_names(classes: str | tuple[str, ...]) -> tuple[str, ...]:
    """The names that a classifier answers with. "imagenet-1k" are torchvision's for the ImageNet challenge."""
    if isinstance(classes, tuple):
        return classes
    if classes == "imagenet-1k":
        return _imagenet_names()
    raise ZooError(f"the class list '{classes}' is not known. Known: imagenet-1k, or the names themselves.")


def _imagenet_names() -> tuple[str, ...]:
    """torchvision has them in a file of its own, which is read alone where it is there: all of it takes seconds to import."""
    torchvision = importlib.util.find_spec("torchvision")
    if torchvision is not None and torchvision.origin is not None:
        file = Path(torchvision.origin).parent / "models" / "_meta.py"
        names = runpy.run_path(str(file)).get("_IMAGENET_CATEGORIES") if file.is_file() else None
        if names:
            return tuple(names)
    from torchvision.models import get_model_weights, list_models

    any_weights = next(iter(get_model_weights(list_models()[0])))
    return tuple(any_weights.meta["categories"])
