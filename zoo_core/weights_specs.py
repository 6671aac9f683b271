"""Specs of weights: their files, their preprocessing, their facts. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from zoo_core.errors import brief
from zoo_core.spec_checks import (
    FILE_PATTERN,
    MAX_SIZE,
    Checked,
    check_name,
    check_numbers,
    check_sha256,
    check_texts,
    is_repository,
    require,
)

NON_COMMERCIAL = ("-nc", "noncommercial", "non-commercial", "apple-amlr")
"""Parts of the names of licences that forbid commercial use; Apple's AMLR is for research only."""
Interpolation = Literal["nearest", "bilinear", "bicubic"]
Fit = Literal["crop", "pad", "squash"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MIN_CROP = 0.1  # known weights have 0.75 or more; a smaller share enlarges images to take all memory
"""Mean and standard deviation by channel (RGB, 0..1) with which torchvision's ImageNet weights were trained."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing(Checked):
    """The way from an image to a tensor. It belongs to the weights: two weights of one architecture may differ.

    A side is resized to `size / crop` pixels, and the centre of `size` x `size` is cut out. Values in 0..1 are then
    normalised with `mean` and `std`, one number for each channel (1: greyscale, 3: RGB).
    """

    size: int
    crop: float = 0.875
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Fit = "crop"
    """The way from an oblong image to a square. crop: its shorter side is resized, and the ends of the longer one are
    lost. pad: its longer side is resized, and `mean` fills the rest. squash: both sides are resized."""

    def __str__(self) -> str:
        """All that decides the pixels, as caches are named after it: most were named before there was a `fit`."""
        text = repr(self)
        return text.replace(", fit='crop'", "")

    def check(self) -> None:
        whole = isinstance(self.size, int) and 1 <= self.size <= MAX_SIZE
        require(whole, f"the image size must be at least 1 and at most {MAX_SIZE}, got {brief(self.size)}")
        require(
            self.fit in get_args(Fit),
            f"the fit of an image is one of {', '.join(get_args(Fit))}, got {brief(self.fit)}",
        )
        require(MIN_CROP <= self.crop <= 1, f"the crop share must be in [{MIN_CROP}, 1], got {brief(self.crop)}")
        side = round(self.size / self.crop)
        require(side <= 2 * MAX_SIZE, f"images of {side} pixels are too large to be cropped to {self.size}")
        require(len(self.mean) == len(self.std), "mean and std must have one number a channel each")
        require(len(self.mean) in (1, 3), f"images have 1 or 3 channels, got {len(self.mean)}")
        require(all(0 < value < 1e6 for value in self.std), f"std must be positive, got {brief(self.std)}")
        require(all(abs(value) < 1e6 for value in self.mean), f"mean must be finite, got {brief(self.mean)}")

    @property
    def channels(self) -> int:
        return len(self.mean)


@dataclass(frozen=True, kw_only=True)
class HubFile(Checked):
    """A safetensors file in a repository of the Hugging Face Hub."""

    repo: str
    file: str = "model.safetensors"
    revision: str | None = None
    sha256: str | None = None
    keys: str | None = None
    """Import path of a function that translates the file's state dict to the architecture's own key names."""

    def check(self) -> None:
        require(is_repository(self.repo), f"{self.repo!r} is not a repository 'owner/name'")
        inside = bool(FILE_PATTERN.fullmatch(self.file))
        require(inside, f"{self.repo}: {self.file!r} is not a .safetensors file inside the repository")
        pinned = self.revision is None or bool(re.fullmatch(r"[0-9a-f]{40}", self.revision))
        require(pinned, f"{self.repo}: revision {self.revision!r} is not a commit of 40 hex digits")
        check_sha256(self.repo, self.sha256)

    def __str__(self) -> str:
        return f"hf:{self.repo}" + (f"@{self.revision[:8]}" if self.revision else "")


@dataclass(frozen=True, kw_only=True)
class PackageFile(Checked):
    """A weights file inside an installed Python package. A PyTorch file is read with weights_only."""

    package: str
    file: str
    sha256: str
    keys: str | None = None

    def check(self) -> None:
        check_sha256(self.package, self.sha256)

    def __str__(self) -> str:
        return f"package:{self.package}/{self.file}"


@dataclass(frozen=True, kw_only=True)
class TorchFile(Checked):
    """A PyTorch file on torchvision's own server, `NAME-<first hex digits of its sha256>.pth`."""

    file: str
    keys: str | None = None

    def check(self) -> None:
        require(
            bool(re.fullmatch(r"[\w-][\w.-]*-[0-9a-f]{8,64}\.pth", self.file)),
            f"{self.file!r} does not end in its hash, like 'name-0123abcd.pth'",
        )

    @property
    def sha256_prefix(self) -> str:
        return self.file.removesuffix(".pth").rpartition("-")[2]

    def __str__(self) -> str:
        return f"torchvision:{self.file}"


WeightsSource = HubFile | PackageFile | TorchFile


def permits_commerce(licence: str) -> bool:
    """Whether a licence is not one that is known to forbid commercial use."""
    return not any(word in licence.lower() for word in NON_COMMERCIAL)


@dataclass(frozen=True, kw_only=True)
class WeightsRef(Checked):
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

    @property
    def commercial(self) -> bool:
        """Whether the licence is not one that is known to forbid commercial use."""
        return permits_commerce(self.licence)

    def check(self) -> None:
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
