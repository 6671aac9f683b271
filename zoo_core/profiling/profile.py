"""`profile`: a backbone or a run stage by stage, its freeze plan, and on request the feature
maps of an image.

Shapes: C channels, H height, W width, S side of the image as the network sees it, M maps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from zoo_core.attribution import names_plugins
from zoo_core.catalog import Catalog, Choice, open_catalog
from zoo_core.data.batches import Batches
from zoo_core.data.given import GivenImage, given_images
from zoo_core.data.on_device import normalised
from zoo_core.data.sources import Part
from zoo_core.errors import UsageError, printable
from zoo_core.explaining.maps import StagedNetwork
from zoo_core.freezing.plan import Plan
from zoo_core.library import run_or_backbone
from zoo_core.model.assemble import Model, build_network, count_parameters, split_base, trainable_parameters
from zoo_core.model.chain import Chain
from zoo_core.predictors import open_run
from zoo_core.profiling.stages import Stage, stages_of
from zoo_core.runs.directory import read_run
from zoo_core.settings import FinetuneConfig
from zoo_core.specs import BackboneSpec
from zoo_core.training.planning import plan_without_images
from zoo_core.weights.resolve import load_backbone, resolve_weights
from zoo_core.weights_specs import Preprocessing

MOST_MAPS = 16  # of a stage: four rows of four
MAP_SIDE = 48  # pixels of a map: a page with 200 of them stays below 1 MB
TIMED = 4  # images


@dataclass(frozen=True, eq=False)
class Profile:
    """A network stage by stage, with its freeze plan."""

    title: str
    backbone: str
    strategy: str
    input: tuple[int, int, int]
    """Channels, height and width of the image as the network sees it."""
    stages: tuple[Stage, ...]
    head_params: int | None
    """Of a run's head; None for a backbone, whose head is new."""
    plan: Plan
    trained: tuple[int | None, ...]
    """The backbone's trained parameters in each phase; None where the strategy adds its own."""
    weights: str | None
    """The weights of the feature maps; None without an image."""
    image: npt.NDArray[np.uint8] | None
    """The image (S, S, 3) as the network sees it."""
    image_name: str | None


@names_plugins
def profile(
    name: str | Path,
    *,
    image: GivenImage | None = None,
    strategy: str | None = None,
    weights: str = "default",
    timed: bool = False,
    catalog: Catalog | None = None,
) -> Profile:
    """Profile a backbone or a run, without its weights unless an `image` is given.

    `strategy` gives another plan than the run's, or than the default of a backbone for few images.
    With `timed` each stage is timed on this machine, with random numbers. Raises UsageError for an
    unknown name or strategy, DataError for an image that cannot be read, and as `zoo_core.load`.
    """
    catalog = catalog or open_catalog()
    found = run_or_backbone(name, weights, catalog)
    if isinstance(found, Path):
        return _of_run(found, catalog, image, strategy, timed)
    start = resolve_weights(found, weights, stand_in=image is None)
    planned = plan_without_images(
        FinetuneConfig(backbone=str(found), weights=weights, strategy=strategy or "auto"), catalog
    )
    stages = stages_of(found, start.preprocessing)
    made = Profile(
        title=str(found),
        backbone=str(found),
        strategy=planned.strategy,
        input=_input(start.preprocessing),
        stages=stages,
        head_params=None,
        plan=planned.plan,
        trained=planned.trained,
        weights=None,
        image=None,
        image_name=None,
    )
    if image is not None:
        base, _ = load_backbone(found, start)
        made = _with_maps(made, base, start.preprocessing, image, found.spec)
        made = replace(made, weights=start.tag)
    return _timed(made, found) if timed else made


def _of_run(directory: Path, catalog: Catalog, image: GivenImage | None, strategy: str | None, timed: bool) -> Profile:
    facts = read_run(directory).facts
    predictor = open_run(directory, catalog, torch.device("cpu"))
    assert isinstance(predictor.network, Model)
    model = predictor.network
    choice = model.design.backbone
    plan, told = Plan.from_dict(facts.plan), printable(facts.strategy.name)
    trained = tuple(_trained(model.backbone, plan, number) for number in range(len(plan.phases)))
    if strategy is not None:
        config = FinetuneConfig(backbone=str(choice), weights="none", strategy=strategy, epochs=plan.epochs)
        planned = plan_without_images(config, catalog)
        plan, told, trained = planned.plan, planned.strategy, planned.trained
    made = Profile(
        title=printable(directory.resolve().name),
        backbone=str(choice),
        strategy=told,
        input=_input(facts.preprocessing),
        stages=stages_of(choice, facts.preprocessing),
        head_params=count_parameters(model.head),
        plan=plan,
        trained=trained,
        weights=None,
        image=None,
        image_name=None,
    )
    if image is not None:
        made = _with_maps(made, model.backbone, facts.preprocessing, image, choice.spec)
        made = replace(made, weights=f"of the run {printable(directory.resolve().name)}")
    return _timed(made, choice) if timed else made


def _trained(base: Chain, plan: Plan, number: int) -> int | None:
    rules = list(zip(plan.stages, plan.phases[number].rules, strict=False))
    if any(rule.trainable and rule.parameters == "added" for _, rule in rules):
        return None
    return sum(one.numel() for name, rule in rules for one in trainable_parameters(base.stage(name), rule))


def _input(preprocessing: Preprocessing) -> tuple[int, int, int]:
    return preprocessing.channels, preprocessing.size, preprocessing.size


def _with_maps(
    made: Profile, base: Chain, preprocessing: Preprocessing, image: GivenImage, spec: BackboneSpec
) -> Profile:
    """The profile with the feature maps of an image."""
    given = given_images(image)
    if len(given) != 1:
        raise UsageError(f"one image is shown, and {len(given)} were given.")
    batches = Batches(Part(given, np.zeros(1, np.int64)), preprocessing, 1, 1)
    ((pixels_1CSS, _),) = batches.in_order()
    network = StagedNetwork(dict(base.named_children()), spec.features)
    features = normalised(pixels_1CSS, preprocessing, torch.device("cpu"))
    base.eval()
    stages = []
    with torch.no_grad():
        for stage in made.stages:
            features = base.stage(stage.name)(features)
            cells_CHW = network.cells(features[0]) if features.ndim in (3, 4) else features[0].view(-1, 1, 1)
            stages.append(replace(stage, maps=_chosen_maps(cells_CHW.float())))
            features = features.clone()  # the next stage may begin in place
    pixels_SSC = pixels_1CSS[0].permute(1, 2, 0).numpy()
    seen = np.repeat(pixels_SSC, 3, 2) if pixels_SSC.shape[2] == 1 else pixels_SSC
    return replace(made, stages=tuple(stages), image=seen, image_name=printable(Path(given.name(0)).name))


def _chosen_maps(features_CHW: Tensor) -> npt.NDArray[np.uint8]:
    """The maps that vary most, as bytes (M, H, W) of at most MAP_SIDE pixels a side."""
    order = features_CHW.flatten(1).var(1, correction=0).argsort(descending=True, stable=True)[:MOST_MAPS]
    maps_MHW = features_CHW[order.sort().values]
    if max(maps_MHW.shape[1:]) > MAP_SIDE:
        maps_MHW = nn.functional.interpolate(maps_MHW[None], size=(MAP_SIDE, MAP_SIDE), mode="area")[0]
    low = maps_MHW.amin((1, 2), keepdim=True)
    span = (maps_MHW.amax((1, 2), keepdim=True) - low).clamp_min(1e-12)
    bytes_MHW: npt.NDArray[np.uint8] = ((maps_MHW - low) / span * 255).nan_to_num().round().to(torch.uint8).numpy()
    return bytes_MHW


def _timed(made: Profile, choice: Choice[BackboneSpec]) -> Profile:
    """The profile with the seconds of each stage on this machine."""
    base, _ = split_base(build_network(choice), choice)
    base.train()
    features, stages = torch.randn(TIMED, *made.input), []
    for stage in made.stages:
        module, inputs = base.stage(stage.name), features.detach().clone()

        def forward(module: nn.Module = module, inputs: Tensor = inputs) -> Tensor:
            with torch.no_grad():
                output: Tensor = module(inputs.clone())
            return output

        def step(module: nn.Module = module, inputs: Tensor = inputs) -> None:
            module(inputs.clone().requires_grad_() * 1.0).sum().backward()

        features = forward()
        stages.append(replace(stage, seconds=(_seconds(forward) / TIMED, _seconds(step) / TIMED)))
    return replace(made, stages=tuple(stages))


def _seconds(work: Callable[[], object]) -> float:
    """The seconds of the second of two computations; the first one costs extra."""
    work()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
