"""Specs: the tables of facts that plugins hand over. Standard library only, as listings must be fast.

A spec names code by its import path (`"zoo_vgg.model:build"`); `resolve` imports it when it is first needed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from zoo_core.errors import PluginError, brief, reason_of
from zoo_core.layout import FEATURE_MAP, Layout
from zoo_core.options import UPTO, NoOptions
from zoo_core.spec_checks import (
    MAX_CHANNELS,
    MAX_SIZE,
    STAGE_PATTERN,
    Checked,
    check_name,
    check_numbers,
    check_options,
    check_path,
    check_texts,
    require,
)
from zoo_core.weights_specs import Preprocessing, TimmTwin, WeightsRef

CLASSIFIER = "classifier"
"""The name of a chain's last stage in a whole published network: the classifier, which a head replaces."""

HEAD = "head"
"""The head's name in plans, tables and saved weights."""

MAX_SUMMARY = 100  # of a command: with its name and its plugin's it is a line or two of `zoo --help`

TaskName = Literal["classification", "multilabel", "regression"]
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
class Paper(Checked):
    """The publication of an architecture or a method."""

    title: str
    authors: str
    venue: str
    year: int
    arxiv: str | None = None

    def check(self) -> None:
        check_texts("a paper", title=self.title, authors=self.authors, venue=self.venue, arxiv=self.arxiv)

    def __str__(self) -> str:
        link = f", arXiv:{self.arxiv}" if self.arxiv else ""
        return f"{self.authors}: {self.title}. {self.venue} ({self.year}){link}"


@dataclass(frozen=True, kw_only=True)
class BackboneSpec(Checked):
    """One architecture: a chain of named stages from the image to the features."""

    name: str
    build: str
    """Import path of a function `(options) -> Chain`, or with `variant` `(options, *, variant)`."""
    stages: tuple[str, ...]
    """The names of the backbone's stages, from the image on."""
    channels: int
    """Channels of the features, the output of the last stage."""
    stride: int
    """Image pixels for each cell of the feature map, or for each patch, along one side."""
    min_size: int
    """The smallest image side in pixels that the network takes."""
    year: int | None
    paper: Paper | None = None
    preprocessing: Preprocessing
    """The preprocessing of a network that starts from scratch; weights bring their own."""
    family: str = ""
    """The name of the architectures that differ in size or details; `zoo list` groups by it."""
    features: Layout = FEATURE_MAP
    """The layout of the features. A network that computes (B, H, W, C) hands on (B, C, H, W)."""
    size_step: int | None = 1
    """Image sides are multiples of this number of pixels; None: the network takes only `preprocessing.size`."""
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
    reference: str | None = None
    """Import path of a function, called like `build`, that returns the published network, for the conformance kit."""
    note: str = ""
    novelty: str = ""
    """The new idea of the architecture in a sentence; `zoo history` tells those that have one."""

    def check(self) -> None:
        own = f"backbone '{self.name}'"
        check_name("backbone", self.name)
        check_path(self.name, self.build)
        if self.reference is not None:
            check_path(self.name, self.reference)
        check_options(own, self.options, reserved=UPTO)
        require(bool(self.stages), f"backbone '{self.name}' names no stages")
        odd = [stage for stage in self.stages if not isinstance(stage, str) or not STAGE_PATTERN.fullmatch(stage)]
        require(not odd, f"backbone '{self.name}': {brief(odd and odd[0])} cannot be the name of a stage")
        require(len(set(self.stages)) == len(self.stages), f"backbone '{self.name}' names a stage twice")
        require({CLASSIFIER, HEAD}.isdisjoint(self.stages), f"{own}: '{CLASSIFIER}' and '{HEAD}' cannot name a stage")
        for field, high in (("channels", MAX_CHANNELS), ("stride", MAX_SIZE), ("min_size", MAX_SIZE)):
            value = getattr(self, field)
            whole = isinstance(value, int) and 1 <= value <= high
            require(whole, f"backbone '{self.name}': {field} must be at least 1 and at most {high}, got {brief(value)}")
        step = self.size_step is None or (isinstance(self.size_step, int) and 1 <= self.size_step <= MAX_SIZE)
        require(step, f"backbone '{self.name}': size_step must be at least 1 or None, got {brief(self.size_step)}")
        check_numbers(f"backbone '{self.name}'", 0, 1e15, params=self.params, gmacs=self.gmacs, year=self.year)
        check_texts(own, note=self.note, novelty=self.novelty, variant=self.variant, family=self.family)
        tags = [ref.tag for ref in self.weights]
        require(len(set(tags)) == len(tags), f"backbone '{self.name}' has two weights with one tag")

    def takes_size(self, size: int) -> bool:
        """Whether the network takes images with sides of so many pixels."""
        if self.size_step is None:
            return size == self.preprocessing.size
        return size >= self.min_size and size % self.size_step == 0

    @property
    def sizes(self) -> str:
        """The image sizes that the network takes, in words."""
        if self.size_step is None:
            return f"of {self.preprocessing.size} pixels only"
        multiples = "" if self.size_step == 1 else f", a multiple of {self.size_step}"
        return f"of at least {self.min_size} pixels{multiples}"

    def weights_named(self, tag: str) -> WeightsRef | None:
        """Return the weights with this tag, or None."""
        return next((ref for ref in self.weights if ref.tag == tag), None)


@dataclass(frozen=True, kw_only=True)
class HeadSpec(Checked):
    """A head: a module from features, a map (B, C, H, W) or tokens (B, N, C), to outputs (B, K).

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
    """Whether the builder also takes `in_size: tuple[int, int]`, the feature map's height and width; (N, 1) of tokens."""
    takes_tokens: bool = False
    """Whether the head takes tokens as well as maps; its builder then also takes `layout: zoo_core.Layout`."""
    aliases: tuple[str, ...] = ()
    """Other names by which the head can be chosen, such as a name that it had before."""
    paper: Paper | None = None

    def check(self) -> None:
        for name in (self.name, *self.aliases):
            check_name("head", name)
        check_texts(f"head '{self.name}'", summary=self.summary)
        check_path(self.name, self.build)
        check_options(f"head '{self.name}'", self.options)
        known = bool(self.tasks) and set(self.tasks) <= set(TASKS)
        require(known, f"head '{self.name}' serves the tasks {self.tasks!r}; there are {', '.join(TASKS)}")


@dataclass(frozen=True, kw_only=True)
class FreezeSpec(Checked):
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

    def check(self) -> None:
        check_name("strategy", self.name)
        check_texts(f"strategy '{self.name}'", summary=self.summary)
        check_path(self.name, self.plan)
        check_options(f"strategy '{self.name}'", self.options)
        if self.adapt is not None:
            check_path(self.name, self.adapt)


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Checked):
    """A data set without a download. `load` is the import path of a function `() -> zoo_core.Source`."""

    name: str
    load: str
    summary: str
    images: int
    classes: int
    licence: str
    url: str

    def check(self) -> None:
        check_name("data set", self.name)
        owner = f"data set '{self.name}'"
        check_texts(owner, summary=self.summary, licence=self.licence, url=self.url)
        check_numbers(owner, 0, 1e15, images=self.images, classes=self.classes)
        check_path(self.name, self.load)


@dataclass(frozen=True, kw_only=True)
class AugmentSpec(Checked):
    """An operation that varies training images: `--augment crop+flip+NAME:key=value`."""

    name: str
    apply: str
    """Import path of a function `(options, image, chance) -> PIL.Image.Image`. It gets a square
    in the mode RGB or L and returns another. It draws from `chance`, a `random.Random` seeded by
    the view, and from nothing else. Threads call it together."""
    summary: str
    options: type = NoOptions

    def check(self) -> None:
        check_name("augmentation", self.name)
        require(self.name[0].isalpha(), f"the augmentation name '{self.name}' must begin with a letter")
        check_texts(f"augmentation '{self.name}'", summary=self.summary)
        check_path(self.name, self.apply)
        check_options(f"augmentation '{self.name}'", self.options)


@dataclass(frozen=True, kw_only=True)
class CommandSpec(Checked):
    """A command of `zoo`. `command` is the import path of a click command."""

    name: str
    command: str
    summary: str
    """One line for `zoo --help`, of at most 100 characters."""

    def check(self) -> None:
        check_name("command", self.name)
        check_texts(f"command '{self.name}'", summary=self.summary)
        one = self.summary.isprintable() and bool(self.summary.strip()) and len(self.summary) <= MAX_SUMMARY
        told = f"summary must be one line of at most {MAX_SUMMARY} characters"
        require(one, f"command '{self.name}': {told}, got {brief(self.summary)}")
        check_path(self.name, self.command)


@dataclass(frozen=True, kw_only=True)
class RunnerSpec(Checked):
    """Machines that train the cells of a comparison, several at a time: `--on NAME`."""

    name: str
    start: str
    """Import path of a function `(options) -> concurrent.futures.Executor`, which raises ZooError where the machines
    cannot be reached. zoo submits one importable function, once a training; its argument and its result can be
    pickled. A worker that dies should fail its own future alone. `shutdown(cancel_futures=True)` should also interrupt
    the calls that run, as Ctrl-C does: a training then saves and ends."""
    summary: str
    options: type = NoOptions

    def check(self) -> None:
        check_name("runner", self.name)
        check_texts(f"runner '{self.name}'", summary=self.summary)
        check_path(self.name, self.start)
        check_options(f"runner '{self.name}'", self.options)
