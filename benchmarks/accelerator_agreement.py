"""Trainings of accelerator.py's checks, and how far two of them are apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from accelerator_bench import Bench

import zoo_core
from zoo_core.devices.kinds import kind_of
from zoo_core.runs.answers import read_answers
from zoo_core.runs.epochs import EpochReport
from zoo_core.training.callback import NullCallback

LR = 0.005
TOLERANCES = {"float32": 0.02, "bfloat16": 0.1}
"""Of the validation losses, as a share of the CPU's: or twice the distance of two CPU runs with another number of threads,
where that is more. A training of the whole network grows every last bit."""
DIFFERENT_ANSWERS = {"float32": 0.02, "bfloat16": 0.05}
"""The share of validation images that may be answered otherwise, or twice that of those two runs."""


class Notes(NullCallback):
    """The messages of a training; after `stop` epochs a Ctrl-C comes."""

    def __init__(self, stop: int | None = None) -> None:
        self.messages: list[str] = []
        self.stop = stop

    def on_epoch(self, report: EpochReport) -> None:
        if report.epoch == self.stop:
            raise KeyboardInterrupt

    def message(self, text: str) -> None:
        self.messages.append(text)


def base_settings(bench: Bench, **changes: Any) -> dict[str, Any]:
    """Two epochs of a network with pretrained weights, on the digits that zoo brings; in a dry run on a few photos."""
    network = {"backbone": "efficientnet_lite0", "size": 96, "batch_size": 32}
    if bench.is_dry:
        network = {"backbone": "lenet5", "batch_size": 8, "data": bench.photos(0)}
    return {**network, "epochs": 2, "patience": 2, "lr": LR, "seed": 0, **changes}


class Learnt(NamedTuple):
    """The validation losses of a training, and which images it answers rightly."""

    losses: list[float]
    answers: list[bool]


def learnt(bench: Bench, name: str, settings: dict[str, Any], notes: Notes | None = None, **more: Any) -> Learnt:
    return learnt_by(bench.finetune(name.replace(":", "-"), notes, **settings, **more))


def learnt_by(result: zoo_core.Result) -> Learnt:
    answers = [answer.is_right for answer in read_answers(result.directory) or ()]
    return Learnt([report.loss for report in result.trained.epochs], answers)


def apart(one: Learnt, other: Learnt) -> tuple[float, float]:
    """The largest distance of two rows of losses, as a share, and the share of images with another answer."""
    gap = max(abs(first - second) / first for first, second in zip(one.losses, other.losses, strict=True))
    return gap, sum(first != second for first, second in zip(one.answers, other.answers, strict=True)) / len(
        one.answers
    )


def tell_agreement(bench: Bench, title: str, own: Learnt, other: Learnt, precision: str, words: str) -> None:
    """A row about two trainings that should be one, within the tolerances; `words` name the `other`."""
    gap, different = apart(other, own)
    holds = gap <= TOLERANCES[precision] and different <= DIFFERENT_ANSWERS[precision]
    figure = f"losses within {100 * gap:.2g} % of {words}, {100 * different:.1f} % other answers"
    bench.tell(title, figure, holds=holds, gap=gap, different=different)


def precisions(bench: Bench, title: str) -> Iterator[str]:
    """The types of numbers that the device trains in; the report names one that it does not have."""
    for precision in TOLERANCES:
        if precision == "bfloat16" and not (bench.is_dry or kind_of(torch.device(bench.device)).has_bfloat16):
            bench.not_shown(f"{title}, {precision}", "the device is not known to support it")
        else:
            yield precision
