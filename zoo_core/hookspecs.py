"""The hooks that a plugin may implement. A plugin is a module with hook implementations, named by an entry point:

    [project.entry-points.zoo]
    mynet = "zoo_mynet.plugin"

Each hook returns specs: facts only, so a plugin module must import nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from zoo_core.specs import BackboneSpec, DatasetSpec, FreezeSpec, HeadSpec

PROJECT = "zoo"
"""The pluggy project name and the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def zoo_backbones() -> Sequence[BackboneSpec]:
    """Return the backbones that this plugin provides.

    from zoo_core import BackboneSpec, Paper, Preprocessing, hookimpl

    @hookimpl
    def zoo_backbones():
        return [
            BackboneSpec(
                name="mynet",
                build="zoo_mynet.model:mynet",       # (options) -> zoo_core.model.chain.Chain
                stages=("stem", "block1", "block2"),  # the conv base, in order
                channels=256, stride=16, min_size=32,
                year=2026,
                paper=Paper(title="My Net", authors="A. Author", venue="My Conference", year=2026),
                preprocessing=Preprocessing(size=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
            )
        ]
    """
    raise NotImplementedError


@hookspec
def zoo_heads() -> Sequence[HeadSpec]:
    """Return the heads that this plugin provides.

    from dataclasses import dataclass
    from zoo_core import HeadSpec, hookimpl

    @dataclass(frozen=True)
    class WideOptions:
        hidden: int = 1024

    @hookimpl
    def zoo_heads():
        return [
            HeadSpec(
                name="wide",
                build="zoo_wide.head:wide",  # (options, *, in_channels, num_outputs) -> nn.Module
                options=WideOptions,
                tasks=("classification", "multilabel"),
                summary="one wide hidden layer",
            )
        ]
    """
    raise NotImplementedError


@hookspec
def zoo_strategies() -> Sequence[FreezeSpec]:
    """Return the freeze strategies that this plugin provides.

    from dataclasses import dataclass
    from zoo_core import FreezeSpec, hookimpl
    from zoo_core.freezing.plan import LEARNING, Phase, Plan, FROZEN

    @dataclass(frozen=True)
    class OnlyOptions:
        stage: str

    def only(options, *, stages, epochs):
        rules = tuple(LEARNING if name == options.stage else FROZEN for name in stages)
        return Plan(stages=stages, phases=(Phase(epochs=epochs, rules=(*rules, LEARNING)),))

    @hookimpl
    def zoo_strategies():
        return [FreezeSpec(name="only", plan="zoo_only.plugin:only", options=OnlyOptions, summary="one stage")]
    """
    raise NotImplementedError


@hookspec
def zoo_datasets() -> Sequence[DatasetSpec]:
    """Return the data sets that this plugin carries.

    from zoo_core import DatasetSpec, hookimpl

    @hookimpl
    def zoo_datasets():
        return [
            DatasetSpec(
                name="my-photos", load="zoo_photos.data:photos",  # () -> zoo_core.data.sources.Source
                summary="200 photos of two pets", images=200, classes=2,
                licence="CC0-1.0", url="https://example.org",
            )
        ]
    """
    raise NotImplementedError
