"""The hooks that a plugin may implement. A plugin is a module with hook implementations, named by
an entry point:

    [project.entry-points.zoo]
    mynet = "zoo_mynet.plugin"

Each hook returns specs: facts only, so a plugin's module imports nothing heavy. The example of each
hook is complete, and a test runs it.

The module states its hook API, `HOOK_API = 2`; docs/hooks.md has the promise that goes with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from zoo_core.result_specs import ExporterSpec, MetricSpec
from zoo_core.specs import AugmentSpec, BackboneSpec, CommandSpec, DatasetSpec, FreezeSpec, HeadSpec
from zoo_core.training_hooks import PROJECT, hookspec, zoo_runners, zoo_trackers

__all__ = ["HOOK_API", "PROJECT", "UNSTATED_API", "hookimpl", "zoo_runners", "zoo_trackers"]  # two hooks as those below

HOOK_API = 2
"""The version of the hooks, their specs and the calls of the code that specs name. It grows by one
when a hook, a field, an argument or a name for plugins is added; plugins for every earlier version
go on working."""

UNSTATED_API = 1
"""The version of a plugin that states none: that of zoo-core 0.1, which had no word for it."""

hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def zoo_backbones() -> Sequence[BackboneSpec]:
    """Return the backbones that this plugin provides.

    `build` names a builder `(options) -> Chain`. A spec with a `variant` has the builder called as
    `(options, variant="...")`, so that one function builds a family.

    # zoo_mynet/plugin.py
    from zoo_core import BackboneSpec, Paper, Preprocessing, hookimpl

    HOOK_API = 2

    @hookimpl
    def zoo_backbones():
        return [_mynet("small", channels=32), _mynet("large", channels=64)]

    def _mynet(variant, *, channels):
        return BackboneSpec(
            name=f"mynet-{variant}", build="zoo_mynet.model:build", variant=variant,
            stages=("stem", "body"),  # the backbone, in order
            channels=channels, stride=4, min_size=4, year=2026,
            paper=Paper(title="My Net", authors="A. Author", venue="My Conference", year=2026),
            preprocessing=Preprocessing(size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        )

    # zoo_mynet/model.py
    from torch import nn

    from zoo_core import Chain, NoOptions

    WIDTHS = {"small": 32, "large": 64}

    def build(options: NoOptions, *, variant: str) -> Chain:
        width = WIDTHS[variant]
        stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU())
        body = nn.Sequential(nn.Conv2d(16, width, 3, stride=2, padding=1), nn.ReLU())
        return Chain({"stem": stem, "body": body})
    """
    raise NotImplementedError


@hookspec
def zoo_heads() -> Sequence[HeadSpec]:
    """Return the heads that this plugin provides.

    `build` names a builder `(options, *, in_channels, num_outputs) -> nn.Module`.

    # zoo_wide/plugin.py
    from dataclasses import dataclass

    from zoo_core import HeadSpec, hookimpl

    HOOK_API = 2

    @dataclass(frozen=True)
    class WideOptions:
        hidden: int = 1024

    @hookimpl
    def zoo_heads():
        return [HeadSpec(
            name="wide", build="zoo_wide.head:wide", options=WideOptions,
            tasks=("classification", "multilabel"), summary="one wide hidden layer",
        )]

    # zoo_wide/head.py
    from torch import nn

    def wide(options, *, in_channels, num_outputs):
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return nn.Sequential(*pool, nn.Linear(in_channels, options.hidden), nn.ReLU(), nn.Linear(options.hidden, num_outputs))
    """
    raise NotImplementedError


@hookspec
def zoo_strategies() -> Sequence[FreezeSpec]:
    """Return the freeze strategies that this plugin provides.

    `plan` names a pure function `(options, *, stages, epochs) -> Plan`.

    # zoo_only/plugin.py
    from dataclasses import dataclass

    from zoo_core import FROZEN, TRAINABLE, FreezeSpec, Phase, Plan, hookimpl

    HOOK_API = 2

    @dataclass(frozen=True)
    class OnlyOptions:
        stage: str

    def only(options, *, stages, epochs):
        rules = tuple(TRAINABLE if name == options.stage else FROZEN for name in stages)
        return Plan(stages=stages, phases=(Phase(epochs=epochs, rules=(*rules, TRAINABLE)),))

    @hookimpl
    def zoo_strategies():
        return [FreezeSpec(name="only", plan="zoo_only.plugin:only", options=OnlyOptions, summary="one stage and the head")]
    """
    raise NotImplementedError


@hookspec
def zoo_datasets() -> Sequence[DatasetSpec]:
    """Return the data sets that this plugin carries.

    `load` names a function `() -> Source`.

    # zoo_dots/plugin.py
    from zoo_core import DatasetSpec, hookimpl

    HOOK_API = 2

    @hookimpl
    def zoo_datasets():
        return [DatasetSpec(
            name="dots", load="zoo_dots.data:dots", summary="dark and light squares",
            images=20, classes=2, licence="CC0-1.0", url="https://example.org",
        )]

    # zoo_dots/data.py
    import numpy as np

    from zoo_core import ArrayImages, Part, Source

    def dots():
        targets_N = np.arange(20) % 2
        pixels_NHW = np.repeat(targets_N * 200, 64).reshape(20, 8, 8).astype(np.uint8)
        return Source("dots", ("dark", "light"), {"train": Part(ArrayImages("dots", pixels_NHW), targets_N)})
    """
    raise NotImplementedError


@hookspec
def zoo_commands() -> Sequence[CommandSpec]:
    """Return the commands that this plugin adds to `zoo`.

    `command` names a click command, which is imported when it is called; `zoo --help` shows the
    summary. Since hook API 2.

    # zoo_hello/plugin.py
    from zoo_core import CommandSpec, hookimpl

    HOOK_API = 2

    @hookimpl
    def zoo_commands():
        return [CommandSpec(name="hello", command="zoo_hello.command:hello", summary="Greet somebody.")]

    # zoo_hello/command.py
    import click

    @click.command(help="Greet NAME.")
    @click.argument("name")
    def hello(name):
        click.echo(f"Hello {name}.")
    """
    raise NotImplementedError


@hookspec
def zoo_metrics() -> Sequence[MetricSpec]:
    """Return the metrics that this plugin provides.

    `compute` names a function `(options, *, answers, targets) -> float`. Since hook API 2.

    # zoo_worst/plugin.py
    from zoo_core import MetricSpec, hookimpl

    HOOK_API = 2

    @hookimpl
    def zoo_metrics():
        return [MetricSpec(name="worst-class", compute="zoo_worst.metric:worst", summary="the lowest recall of a class")]

    # zoo_worst/metric.py
    import numpy as np

    def worst(options, *, answers, targets):
        right_N = answers.argmax(axis=1) == targets
        return min(right_N[targets == label].mean() for label in np.unique(targets))
    """
    raise NotImplementedError


@hookspec
def zoo_exporters() -> Sequence[ExporterSpec]:
    """Return the formats that this plugin exports runs to.

    `export` names a function `(options, *, network, example_BCHW, facts, path) -> None`, and `run`
    one that opens the file, `(path) -> Callable`. Since hook API 2.

    # zoo_graph/plugin.py
    from zoo_core import ExporterSpec, hookimpl

    HOOK_API = 2

    @hookimpl
    def zoo_exporters():
        return [ExporterSpec(
            name="graph", export="zoo_graph.export:export", run="zoo_graph.export:run",
            suffix=".pt2", summary="a graph of torch's operators",
        )]

    # zoo_graph/export.py
    import torch

    def export(options, *, network, example_BCHW, facts, path):
        any_number = ({0: torch.export.Dim("batch", min=1)},)
        graph = torch.export.export(network, (example_BCHW,), dynamic_shapes=any_number)
        torch.export.save(graph, path)

    def run(path):
        network = torch.export.load(path).module()
        return lambda images_BCHW: network(torch.from_numpy(images_BCHW)).detach().numpy()
    """
    raise NotImplementedError


@hookspec
def zoo_augmentations() -> Sequence[AugmentSpec]:
    """Return the augmentations that this plugin provides: operations that vary training images.

    `apply` names a function `(options, image, chance) -> PIL.Image.Image`. Since hook API 2.

    # zoo_turn/plugin.py
    from zoo_core import AugmentSpec, hookimpl

    HOOK_API = 2

    @hookimpl
    def zoo_augmentations():
        return [AugmentSpec(name="turn", apply="zoo_turn.plugin:turn", summary="quarter turns")]

    def turn(options, image, chance):
        return image.rotate(90 * chance.randrange(4))
    """
    raise NotImplementedError
