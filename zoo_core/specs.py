"""Specs: the tables of facts that plugins hand over. Standard library only, so that listing thousands stays fast.

A spec names code by its import path (`"zoo_vgg.model:build"`); `resolve` imports it when it is first needed.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from zoo_core.errors import PluginError, brief, reason_of
from zoo_core.options import NoOptions
from zoo_core.spec_checks import (
    FILE_PATTERN,
    MAX_CHANNELS,
    MAX_SIZE,
    REPO_PATTERN,
    STAGE_PATTERN,
    check_name,
    check_numbers,
    check_path,
    check_sha256,
    check_texts,
    require,
)

CLASSIFIER = "classifier"
"""The name of a chain's last stage in a whole published network: the classifier, which a head replaces."""

HEAD = "head"
"""The head's name in plans, tables and saved weights."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation by channel (RGB, 0..1) with which torchvision's ImageNet weights were trained."""

TaskName = Literal["classification", "multilabel", "regression"]
Interpolation = Literal["nearest", "bilinear", "bicubic"]
TASKS: tuple[TaskName, ...] = get_args(TaskName)
"""Every task; `zoo_core.tasks.task_named` gives its object."""


def resolve(path: str) -> Callable[..., Any]:
    """Import the function or class named by `"package.module:name"`. Raises PluginError when the import fails."""
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:  # the plugin's module runs when it is imported
        raise PluginError(
            f"'{path}' cannot be imported: {reason_of(error)}. Reinstall or update the plugin that names it."
        ) from error
    if not callable(found):
        raise PluginError(f"'{path}' is not callable. A spec names a function or a class.")
    return found  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Paper:
    """The publication of an architecture or a method."""

    title: str
    authors: str
    venue: str
    year: int
    arxiv: str | None = None

    def __post_init__(self) -> None:
        check_texts("a paper", title=self.title, authors=self.authors, venue=self.venue, arxiv=self.arxiv)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """The way from an image to a tensor. It belongs to the weights: two weights of one architecture may differ.

    The shorter side is resized to `size / crop` pixels, and the centre of `size` x `size` is cut out. Values in 0..1
    are then normalised with `mean` and `std`, one number for each channel (1: greyscale, 3: RGB).
    """

    size: int
    crop: float = 0.875
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        whole = isinstance(self.size, int) and 1 <= self.size <= MAX_SIZE
        require(whole, f"the image size must be at least 1 and at most {MAX_SIZE}, got {brief(self.size)}")
        require(0 < self.crop <= 1, f"the crop share must be in (0, 1], got {self.crop}")
        require(len(self.mean) == len(self.std), "mean and std must have one number a channel each")
        require(len(self.mean) in (1, 3), f"images have 1 or 3 channels, got {len(self.mean)}")
        require(all(0 < value < 1e6 for value in self.std), f"std must be positive, got {brief(self.std)}")
        require(all(abs(value) < 1e6 for value in self.mean), f"mean must be finite, got {brief(self.mean)}")

    @property
    def channels(self) -> int:
        return len(self.mean)


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A safetensors file in a repository of the Hugging Face Hub."""

    repo: str
    file: str = "model.safetensors"
    revision: str | None = None
    sha256: str | None = None
    keys: str | None = None
    """Import path of a function that translates the file's state dict to the architecture's own key names."""

    def __post_init__(self) -> None:
        require(bool(REPO_PATTERN.fullmatch(self.repo)), f"{self.repo!r} is not a repository 'owner/name'")
        inside = bool(FILE_PATTERN.fullmatch(self.file))
        require(inside, f"{self.repo}: {self.file!r} is not a .safetensors file inside the repository")
        pinned = self.revision is None or bool(re.fullmatch(r"[0-9a-f]{40}", self.revision))
        require(pinned, f"{self.repo}: revision {self.revision!r} is not a commit of 40 hex digits")
        check_sha256(self.repo, self.sha256)

    def __str__(self) -> str:
        return f"hf:{self.repo}" + (f"@{self.revision[:8]}" if self.revision else "")


@dataclass(frozen=True, kw_only=True)
class PackageFile:
    """A weights file inside an installed Python package. A PyTorch file is read with weights_only."""

    package: str
    file: str
    sha256: str
    keys: str | None = None

    def __post_init__(self) -> None:
        check_sha256(self.package, self.sha256)

    def __str__(self) -> str:
        return f"package:{self.package}/{self.file}"


@dataclass(frozen=True, kw_only=True)
class TorchFile:
    """A PyTorch file on torchvision's own server, `NAME-<first hex digits of its sha256>.pth`."""

    file: str
    keys: str | None = None

    def __post_init__(self) -> None:
        require(
            bool(re.fullmatch(r"[\w-]+-[0-9a-f]{8,64}\.pth", self.file)),
            f"{self.file!r} does not end in its hash, like 'name-0123abcd.pth'",
        )

    @property
    def sha256_prefix(self) -> str:
        return self.file.removesuffix(".pth").rpartition("-")[2]

    def __str__(self) -> str:
        return f"torchvision:{self.file}"


WeightsSource = HubFile | PackageFile | TorchFile


@dataclass(frozen=True, kw_only=True)
class WeightsRef:
    """Trained weights of one backbone: their sources, preprocessing, training data, licence and accuracy."""

    tag: str
    """The name by which users choose these weights."""
    sources: tuple[WeightsSource, ...]
    """Files that hold the weights, tried in this order."""
    preprocessing: Preprocessing
    data: str
    licence: str
    classes: str | tuple[str, ...] | None = None
    """The class names of the original classifier: the name of a list in core (`"imagenet-1k"`), or the names."""
    top1: float | None = None
    """Top-1 accuracy in percent, as published."""
    top5: float | None = None
    has_classifier: bool = True
    note: str = ""

    def __post_init__(self) -> None:
        check_name("weights", self.tag)
        owner = f"weights '{self.tag}'"
        check_texts(owner, data=self.data, licence=self.licence, note=self.note)
        check_numbers(owner, 0, 100, top1=self.top1, top5=self.top5)
        require(bool(self.sources), f"weights {self.tag!r} name no source")


@dataclass(frozen=True, kw_only=True)
class TimmTwin:
    """The same architecture in the library timm, so that timm can open a published model too."""

    architecture: str
    """timm's name of the architecture."""
    classifier: str = "fc"
    """timm's name of the linear layer."""
    export: str | None = None
    """Import path of a function `(base, weight, bias) -> tensors`, for a timm classifier of more than one layer."""
    size: int | None = None
    """The only image size at which both networks give the same outputs; None: they agree at every size."""


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """One architecture: a chain of named stages from the image to the feature map."""

    name: str
    build: str
    """Import path of a function `(options) -> Chain`, or `(options, *, variant) -> Chain` with `variant`."""
    stages: tuple[str, ...]
    """The names of the conv base's stages, from the image on."""
    channels: int
    """Channels of the feature map, the output of the last stage."""
    stride: int
    """Image pixels for each cell of the feature map."""
    min_size: int
    """The smallest image side in pixels that the network takes."""
    year: int
    paper: Paper
    preprocessing: Preprocessing
    """The preprocessing of a network that starts from scratch; weights bring their own."""
    variant: str | None = None
    """Given to the builder as the keyword `variant`, so that one function builds a whole family."""
    params: int | None = None
    """Parameters of the whole published network, its classifier included."""
    gmacs: float | None = None
    """Multiply-accumulates of the whole network in billions, at `preprocessing.size` pixels."""
    weights: tuple[WeightsRef, ...] = ()
    """Trained weights; the first are the default."""
    ignored_keys: tuple[str, ...] = ()
    """Prefixes of keys of published weights that this chain lacks, such as those of auxiliary classifiers."""
    options: type = NoOptions
    """A frozen dataclass; its fields are the options (`mynet:width=2`)."""
    timm: TimmTwin | None = None
    note: str = ""

    def __post_init__(self) -> None:
        check_name("backbone", self.name)
        check_path(self.name, self.build)
        require(bool(self.stages), f"backbone '{self.name}' names no stages")
        odd = [stage for stage in self.stages if not isinstance(stage, str) or not STAGE_PATTERN.fullmatch(stage)]
        require(not odd, f"backbone '{self.name}': {brief(odd and odd[0])} cannot be the name of a stage")
        require(len(set(self.stages)) == len(self.stages), f"backbone '{self.name}' names a stage twice")
        reserved = {CLASSIFIER, HEAD} & set(self.stages)
        require(not reserved, f"backbone '{self.name}': {sorted(reserved)} cannot name a stage of the conv base")
        for field, high in (("channels", MAX_CHANNELS), ("stride", MAX_SIZE), ("min_size", MAX_SIZE)):
            value = getattr(self, field)
            whole = isinstance(value, int) and 1 <= value <= high
            require(whole, f"backbone '{self.name}': {field} must be at least 1 and at most {high}, got {brief(value)}")
        check_numbers(f"backbone '{self.name}'", 0, 1e15, params=self.params, gmacs=self.gmacs, year=self.year)
        check_texts(f"backbone '{self.name}'", note=self.note, variant=self.variant)
        tags = [ref.tag for ref in self.weights]
        require(len(set(tags)) == len(tags), f"backbone '{self.name}' has two weights with one tag")

    def weights_named(self, tag: str) -> WeightsRef | None:
        """Return the weights with this tag, or None."""
        return next((ref for ref in self.weights if ref.tag == tag), None)


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """A head: a module from the feature map (B, C, H, W) to outputs (B, K).

    Outputs are logits of classes or labels, or numbers, which zoo brings into the targets' units behind the head. The
    module may have a loss of its own, a method `loss(outputs, targets) -> Tensor` (a mean over images, the outputs in
    the targets' units); without it the task's loss applies. A module with the methods of `zoo_core.Solvable` is solved
    in closed form rather than trained.
    """

    name: str
    build: str
    """Import path of a function `(options, *, in_channels: int, num_outputs: int) -> nn.Module`."""
    summary: str
    options: type = NoOptions
    tasks: tuple[TaskName, ...] = ("classification",)
    """The tasks that the head serves."""
    needs_size: bool = False
    """Whether the builder also takes `in_size: tuple[int, int]`, the feature map's height and width."""
    aliases: tuple[str, ...] = ()
    """Other names by which the head can be chosen, such as a name that it had before."""
    paper: Paper | None = None

    def __post_init__(self) -> None:
        for name in (self.name, *self.aliases):
            check_name("head", name)
        check_texts(f"head '{self.name}'", summary=self.summary)
        check_path(self.name, self.build)
        known = bool(self.tasks) and set(self.tasks) <= set(TASKS)
        require(known, f"head '{self.name}' serves the tasks {self.tasks!r}; there are {', '.join(TASKS)}")


@dataclass(frozen=True, kw_only=True)
class FreezeSpec:
    """A freeze strategy: a pure function from stage names to a plan. Its name says which parts are trained."""

    name: str
    plan: str
    """Import path of a function `(options, *, stages: tuple[str, ...], epochs: int) -> Plan`."""
    summary: str
    options: type = NoOptions
    paper: Paper | None = None
    adapt: str | None = None
    """Import path of a function `(options, base: Chain, *, stages: tuple[str, ...]) -> Callable[[], None]`, for a
    strategy that trains parameters of its own. It adds them, in place, to the stages whose rule trains "added"
    parameters, and returns a function that merges them into the base, so that the published keys are back."""

    def __post_init__(self) -> None:
        check_name("strategy", self.name)
        check_texts(f"strategy '{self.name}'", summary=self.summary)
        check_path(self.name, self.plan)
        if self.adapt is not None:
            check_path(self.name, self.adapt)


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A data set that needs no download. `load` is the import path of a function `() -> zoo_core.Source`."""

    name: str
    load: str
    summary: str
    images: int
    classes: int
    licence: str
    url: str

    def __post_init__(self) -> None:
        check_name("data set", self.name)
        owner = f"data set '{self.name}'"
        check_texts(owner, summary=self.summary, licence=self.licence, url=self.url)
        check_numbers(owner, 0, 1e15, images=self.images, classes=self.classes)
        check_path(self.name, self.load)


Spec = BackboneSpec | HeadSpec | FreezeSpec | DatasetSpec
