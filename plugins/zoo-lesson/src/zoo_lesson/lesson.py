"""The means of a chapter: the photos, the network, and the commands of zoo."""

from __future__ import annotations

import io
import json
import shlex
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from zoo_core import Catalog, Model, Profile, Transform, UsageError, ZooError, create_model, profile
from zoo_lesson.photos import Photos

SMALL_SIDE = 96  # pixels of a photo where all of a network is trained: 224 take five times as long


@dataclass(frozen=True)
class Maps:
    """The feature maps of the few photos at one stage.

    Shapes: N photos, C channels, H height, W width.
    """

    stage: str
    features_NCHW: npt.NDArray[np.float32]
    labels_N: npt.NDArray[np.int64]
    paths: tuple[Path, ...]


@dataclass
class Lesson:
    """The lesson on one sample of photos with one network."""

    folder: Path
    photos: Photos
    backbone: str
    catalog: Catalog
    group: click.Group
    """The command `zoo`, which runs the commands of the chapters."""
    commands: list[str] = field(default_factory=list)
    """The commands that this chapter ran, as a reader gives them."""

    def zoo(self, *words: object, unless: Path | None = None) -> dict[str, Any]:
        """Run a command of zoo and return what its `--json` prints; it is shown as it would be typed.

        Where the folder `unless` is there, an earlier lesson has run it, and the answer is empty.
        Raises ZooError as the command does, and where it ends with another exit code than 0.
        """
        told = shlex.join(["zoo", *map(str, words)])
        if told not in self.commands:
            self.commands.append(told)
            click.echo(f"$ {told}")
        if unless is not None and unless.exists():
            return {}
        printed = io.StringIO()
        with redirect_stdout(printed):
            code = self.group.main([*map(str, words), "--json"], prog_name="zoo", standalone_mode=False)
        if code:
            raise ZooError(f"`{told}` ended with exit code {code}. Give it alone to see why.")
        answer: dict[str, Any] = json.loads(printed.getvalue())
        return answer

    def run(self, name: str) -> Path:
        """The folder of a run, or of runs that are compared."""
        return self.folder / "runs" / name

    @cached_property
    def profile(self) -> Profile:
        """The network stage by stage."""
        return profile(self.backbone, catalog=self.catalog)

    @property
    def stages(self) -> tuple[str, str, str]:
        """The first stage, one in the middle and the last."""
        names = [stage.name for stage in self.profile.stages]
        return names[0], names[len(names) // 2], names[-1]

    @cached_property
    def model(self) -> Model:
        """The pretrained network with a new head, in evaluation mode."""
        return create_model(self.backbone, num_classes=2, catalog=self.catalog).eval()

    @property
    def transform(self) -> Transform:
        """A photo to the tensor that the network sees."""
        return Transform(self.model.design.preprocessing)

    @property
    def small_side(self) -> int:
        """The side of photos in pixels where all of the network is trained."""
        own, spec = self.profile.input[1], self.catalog.backbone(self.backbone).spec
        return SMALL_SIDE if own > SMALL_SIDE and spec.takes_size(SMALL_SIDE) else own

    def few(self, count: int) -> list[Path]:
        """So many of the few photos, one class after the other."""
        by_class = [sorted((self.photos.few / name).iterdir()) for name in self.photos.classes]
        turns = [own[turn] for turn in range(max(map(len, by_class))) for own in by_class if turn < len(own)]
        return turns[:count]

    def maps(self, stage: str) -> Maps:
        """The feature maps of the few photos at a stage, by `zoo embed`."""
        if stage not in [one.name for one in self.profile.stages]:
            raise UsageError(f"{self.backbone} has no stage '{stage}'.")
        target = self.folder / f"maps-{stage}.npz"
        target.unlink(missing_ok=True)
        try:
            self.zoo("embed", self.backbone, "--data", self.photos.few, "--at", stage, "-o", target)
            with np.load(target) as archive:
                paths = tuple(self.photos.few / str(path) for path in archive["paths"])
                return Maps(stage, archive["features"], archive["targets"], paths)
        finally:
            target.unlink(missing_ok=True)  # it takes up to 0.1 GB, and the cache has the maps


def seen(transform: Transform, path: Path) -> npt.NDArray[np.uint8]:
    """A photo (S, S, 3) as a network sees it: resized, cropped, and its colours put back."""
    preprocessing = transform.preprocessing
    with Image.open(path) as image:
        pixels_CSS = transform(image).numpy()
    mean, std = (np.reshape(values, (-1, 1, 1)) for values in (preprocessing.mean, preprocessing.std))
    pixels_SSC = ((pixels_CSS * std + mean).clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    return np.repeat(pixels_SSC, 3, 2) if pixels_SSC.shape[2] == 1 else pixels_SSC
