"""Specs of what is made of a run: metrics of its answers, formats of its network, records of its
course."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo_core.errors import brief
from zoo_core.options import NoOptions
from zoo_core.spec_checks import Checked, check_name, check_options, check_path, check_texts, require
from zoo_core.specs import TASKS, TaskName

Precision = Literal["fp32", "fp16", "int8"]
"""The numbers of an exported file: floats of 32 or 16 bits, or integers of 8."""
SUFFIX = re.compile(r"\.[a-z0-9]{1,16}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Checked):
    """A figure of a run's answers, which `zoo evaluate --metric NAME` shows, and by which `zoo
    finetune --metric NAME` chooses the best epoch."""

    name: str
    compute: str
    """Import path of a function `(options, *, answers, targets) -> float`. `answers` (N, K) are
    probabilities of classes or labels, or numbers in the targets' units, in float64; `targets` are
    class indices (N), else (N, K)."""
    summary: str
    options: type = NoOptions
    tasks: tuple[TaskName, ...] = ("classification",)
    """The tasks whose answers it can measure."""
    title: str = ""
    """Its words in a sentence, without them the name's; "{k}" stands for the value of the option
    k."""
    higher_is_better: bool = True
    percent: bool = False
    """Whether people read it in percent."""
    is_proportion: bool = False
    """Whether it is the share of the images that have some property: its interval is then Wilson's,
    and its standard error that of a proportion."""
    at_threshold: bool = False
    """Whether it counts labels with a probability above 0.5, so that a training for labels can
    choose a threshold of each by it."""

    def check(self) -> None:
        _check("metric", self, self.compute)
        known = bool(self.tasks) and set(self.tasks) <= set(TASKS)
        told = f"metric '{self.name}' measures the tasks {self.tasks!r}; there are {', '.join(TASKS)}"
        require(known, told)
        require(isinstance(self.title, str), f"metric '{self.name}': the title {brief(self.title)} is no text")


@dataclass(frozen=True, kw_only=True)
class ExporterSpec(Checked):
    """A format in which `zoo export RUN --to NAME` writes a run, and the way to run its files."""

    name: str
    export: str
    """Import path of a function `(options, *, network, example_BCHW, facts, path) -> None` that
    writes one file, or two with a `second_suffix`. The module `network` maps images like the example's, of any B, to answers
    (B, K) as a metric gets them: normalised float32 (B, C, H, W), or bytes of that shape, which it
    normalises itself. `facts` is a dict of JSON that belongs into the file: task, classes,
    preprocessing, and the meaning of input and output in words."""
    run: str
    """Import path of a function `(path) -> Callable`. The callable maps arrays (B, C, H, W) like
    the example to arrays (B, K)."""
    suffix: str
    """The end of the file's name, such as ".onnx"."""
    summary: str
    second_suffix: str | None = None
    """The end of the name of a second file, which stands beside the first and belongs to it."""
    options: type = NoOptions
    """A field `precision: Literal["fp32", "fp16", "int8"]`, or some of these, is what `--fp16` and
    `--int8` set; zoo holds the answers of each to a tolerance of its own."""
    facts: str | None = None
    """Import path of a function `(path) -> dict`, the facts in such a file. With it
    `zoo_core.load_exported` opens the file."""
    calibrates: bool = False
    """Whether `export` also takes `calibration`, a function `(count) -> Iterator` of batches of so
    many training images at most, arrays like the example; nothing is read before it is called."""
    explains: bool = False
    """Whether `export` also takes `explained`, a function without arguments. It gives a module like
    `network` whose forward gives a tuple of tensors, named by its `outputs`: the answers, then, of
    runs that have them, "features" (B, F), whose distance to the training images follows from the
    arrays in its `familiar`, and the heat "map" (B, H, W) of `zoo explain`; `without_map()` gives
    the same without the map."""

    def check(self) -> None:
        _check("exporter", self, self.export)
        check_path(self.name, self.run)
        if self.facts is not None:
            check_path(self.name, self.facts)
        for suffix in (self.suffix, *([] if self.second_suffix is None else [self.second_suffix])):
            fits = isinstance(suffix, str) and bool(SUFFIX.fullmatch(suffix))
            require(fits, f"exporter '{self.name}': {brief(suffix)} is no suffix such as '.onnx'")
        require(self.suffix != self.second_suffix, f"exporter '{self.name}' has the suffix '{self.suffix}' twice")

    def files(self, path: Path) -> list[Path]:
        """The file at `path`, and the second one beside it, if the format has two."""
        return [path, *([] if self.second_suffix is None else [path.with_suffix(self.second_suffix)])]


@dataclass(frozen=True, kw_only=True)
class TrackerSpec(Checked):
    """A service or a file that records trainings: `zoo finetune --track NAME`."""

    name: str
    start: str
    """Import path of a function `(options, run: zoo_core.TrackedRun) -> zoo_core.Tracker`. It and
    the tracker's methods are called in a thread of their own, one call at a time, while the
    training goes on. An error ends this tracker, and not the training."""
    summary: str
    options: type = NoOptions

    def check(self) -> None:
        _check("tracker", self, self.start)


def _check(kind: str, spec: MetricSpec | ExporterSpec | TrackerSpec, path: str) -> None:
    check_name(kind, spec.name)
    check_texts(f"{kind} '{spec.name}'", summary=spec.summary)
    check_options(f"{kind} '{spec.name}'", spec.options)
    check_path(spec.name, path)
