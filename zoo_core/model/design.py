"""The choices that a model was built from, so that a run can record them and build it again."""

from __future__ import annotations

from dataclasses import dataclass

from zoo_core.catalog import Choice
from zoo_core.specs import BackboneSpec, HeadSpec, TaskName
from zoo_core.weights_specs import Preprocessing


@dataclass(frozen=True, kw_only=True)
class StartFacts:
    """The weights that a network started from; `sha256` and `revision` pin the bytes."""

    tag: str
    source: str
    sha256: str
    revision: str | None = None
    data: str | None = None
    licence: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelDesign:
    """A backbone, a head, the preprocessing of their images, the task, and the weights that the
    backbone started from."""

    backbone: Choice[BackboneSpec]
    head: Choice[HeadSpec]
    preprocessing: Preprocessing
    task: TaskName
    start: StartFacts | None = None
    """None: from scratch."""
