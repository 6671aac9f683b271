"""Multi-label classification: every image has any number of labels, none included.

Shapes: B batch, N images, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo_core.errors import DataError, printable, shown
from zoo_core.json_checks import as_number, as_text, parsed_lists
from zoo_core.tasks.chosen import images_text, own_interval_text
from zoo_core.tasks.honesty import calibration_sentence, card_of_probabilities, thresholds_sentence
from zoo_core.tasks.label_evaluation import MEAN_AVERAGE_PRECISION, LabelEvaluation
from zoo_core.tasks.losses import focal_of_labels
from zoo_core.tasks.metrics import Baseline, FloatArray, resampled_precisions
from zoo_core.tasks.scores import THRESHOLD
from zoo_core.tasks.targets import PartName, Samples, TargetColumns, Targets, sample_error
from zoo_core.tasks.task import Answers, BoolArray, Task, Threshold
from zoo_core.wording import figure_text

if TYPE_CHECKING:
    from torch import Tensor, nn

MAX_BARS = 1000  # more are narrower than a pixel, and each is an object of its own
SEPARATOR = "|"  # between the labels of a table's cell
LABEL_VALUES = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}
FIGURES = ("precisions", "recalls")
"""Figures of each label in a result, which runs before zoo 0.3 lack."""


class Multilabel(Task[LabelEvaluation]):
    name = "multilabel"
    output = "label"
    outputs = "labels"
    answer = "probability"
    metric = MEAN_AVERAGE_PRECISION
    constant_answer = "the same probabilities"
    picture = "precisions.png"
    caption = "Average precision of each label"
    card_opening = "A model that gives images"
    card_columns = ("label", "images", "average precision", "precision", "recall", "F1")
    card_limits = "The model knows only the labels above. The figures hold for images like those it was measured on."

    def loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        head: nn.Module,
        label_smoothing: float,
        class_weights: Tensor | None = None,
        gamma: float = 0.0,
    ) -> Tensor:
        """Binary cross-entropy of logits and targets (B, K), the mean over labels; above a gamma of
        0 the focal loss."""
        from torch.nn import functional

        softened = targets * (1 - label_smoothing) + label_smoothing / 2
        if gamma:
            return focal_of_labels(outputs, softened, gamma).mean()
        return functional.binary_cross_entropy_with_logits(outputs, softened)

    def evaluate(self, outputs_NK: Tensor, targets: Tensor, loss: float) -> LabelEvaluation:
        return LabelEvaluation.from_probabilities(outputs_NK.double().sigmoid().numpy(), targets.numpy(), loss)

    def baseline(self, train_targets: Targets, targets: Targets) -> Baseline:
        """The mean prevalence of the labels that occur, which equal probabilities score."""
        shares = (targets > 0.5).mean(0)
        return Baseline(float(shares[shares > 0].mean()) if shares.any() else 0.0)

    def answered(self, evaluation: LabelEvaluation) -> Targets | None:
        return evaluation.probabilities

    def resampled(self, answers_NK: FloatArray, targets_NK: FloatArray, weights_BN: FloatArray) -> FloatArray:
        """The mean over the labels that some image of a resample has; 0 when none has any."""
        columns = zip(answers_NK.T, targets_NK.T > 0.5, strict=True)
        precisions_BK = np.stack([resampled_precisions(*column, weights_BN) for column in columns], axis=1)
        known = np.isfinite(precisions_BK).sum(1)
        means: FloatArray = np.nan_to_num(precisions_BK).sum(1) / np.maximum(known, 1)
        return means

    def constant(self, train_targets: Targets, num_outputs: int) -> FloatArray:
        """The share of the images that have each label."""
        share: FloatArray = (train_targets > 0.5).mean(0)
        return share

    def values(self, outputs_NK: Tensor) -> Tensor:
        return outputs_NK.sigmoid()

    def changed(self, answers_NK: Tensor, others_NK: Tensor) -> int:
        return int(((answers_NK > 0.5) != (others_NK > 0.5)).any(1).sum())

    def answers(self, outputs_K: Tensor, names: Sequence[str], top: int, threshold: Threshold) -> Answers:
        """The labels with a probability above the threshold, 0.5 by default, the most probable first."""
        values, indices = outputs_K.sigmoid().sort(descending=True, stable=True)
        ranked = zip(indices.tolist(), values.tolist(), strict=True)
        least_K = np.broadcast_to(THRESHOLD if threshold is None else threshold, len(names))
        return tuple((names[index], value) for index, value in ranked if value > least_K[index])

    def held_out(self, targets: Targets, order: Sequence[int], count: int) -> Sequence[int]:
        """As for every task, but no image that is the last with one of its labels."""
        first = list(order[:count])
        total = targets.sum(0)
        if not ((total > 0) & (total == targets[first].sum(0))).any():
            return first
        left = total.copy()
        chosen: list[int] = []
        for index in order:
            if len(chosen) < count and (left[targets[index] > 0] > 1).all():
                left -= targets[index]
                chosen.append(index)
        return chosen or first

    def occurring(self, targets: Targets, num_outputs: int) -> BoolArray:
        found: BoolArray = np.any(targets > 0, axis=0)
        return found

    def check_outputs(self, where: str, names: Sequence[str]) -> None:
        super().check_outputs(where, names)
        joined = next((name for name in names if SEPARATOR in name), None)
        if joined is not None:
            raise DataError(
                f"{where} has the label '{printable(joined)}', and '{SEPARATOR}' stands between the labels of an image. "
                "Give that label another name."
            )

    def read_columns(self, table: TargetColumns) -> tuple[tuple[str, ...], Targets]:
        """Columns of 0 and 1, or one column of labels joined by '|', of which an empty cell has no
        label. A single column of 0 and 1 is one label."""
        filled = [cells[0] for cells in table.cells if cells[0]]
        if len(table.columns) > 1 or (filled and all(label_value(text) is not None for text in filled)):
            targets = table.zeros(len(table.columns))
            for row, cells in enumerate(table.cells):
                values = [label_value(text) for text in cells]
                if None in values:
                    column, text = next(
                        pair for pair in zip(table.columns, cells, strict=True) if label_value(pair[1]) is None
                    )
                    raise table.error(row, f"the label '{shown(column)}' must be 0 or 1, got '{shown(text)}'.")
                targets[row] = values
            return table.columns, targets
        names = tuple(sorted({label for row in table.train for label in split_labels(table.cells[row][0])}))
        targets = table.zeros(len(names))
        positions = {name: position for position, name in enumerate(names)}
        for row, (text,) in enumerate(table.cells):
            for label in split_labels(text):
                if label not in positions:
                    raise table.error(row, f"the label '{printable(label)}' is not among those of the training images.")
                targets[row, positions[label]] = 1
        return names, targets

    def fits(self, target: Any) -> bool:
        return isinstance(target, list) and all(isinstance(one, str) for one in target)

    def read_values(self, values: Sequence[Any], names: Sequence[str] | None) -> tuple[tuple[str, ...], Targets]:
        """Labels by name, or vectors of 0 and 1; without `names` they are the labels that occur,
        sorted."""
        vectors = all(not isinstance(one, str) for value in values for one in value) and any(values)
        if names is None:
            count = len(values[0])
            names = [str(n) for n in range(count)] if vectors else sorted({one for value in values for one in value})
        targets = np.zeros((len(values), len(names)), dtype=np.float32)
        if vectors:
            targets[:] = np.asarray(values, dtype=np.float32)
            if not np.isin(targets, (0, 1)).all():
                raise ValueError("a vector of labels holds 0 and 1")
            return tuple(names), targets
        for row, value in zip(targets, values, strict=True):
            for label in value:
                row[names.index(label)] = 1
        return tuple(names), targets

    def read_samples(
        self, where: str, samples: Samples, names: tuple[str, ...] | None
    ) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
        """The positions of labels in `names`, separated by spaces."""
        names = names or ()
        positions = {str(position): position for position in range(len(names))}
        targets: dict[PartName, Targets] = {}
        for part, of_part in samples.items():
            targets[part] = np.zeros((len(of_part), len(names)), dtype=np.float32)
            for row, sample in enumerate(of_part):
                for text in sample.text.split():
                    if text not in positions:
                        raise sample_error(sample, f"has the label '{shown(text)}', which is none of {len(names)}")
                    targets[part][row, positions[text]] = 1
        return names, targets

    def summary(self, evaluation: LabelEvaluation, where: str) -> str:
        f1s = f"F1 at 0.5: micro {evaluation.micro_f1:.3f}, macro {evaluation.macro_f1:.3f}"
        score = self.metric.text(evaluation.own_score)
        beside = own_interval_text(evaluation)
        return f"Mean average precision {where}: {score} ({images_text(evaluation)}; {beside}{f1s})"

    def answer_text(self, value: float) -> str:
        return f"{100 * value:.1f} %"

    def target_text(self, target: Any, names: Sequence[str]) -> str:
        return ", ".join(name for name, given in zip(names, target, strict=True) if given)

    def card_result(self, result: Mapping[str, Any]) -> str:
        return (
            "## Average precision\n\n"
            f"**{100 * result['mean_average_precision']:.1f} %** on {result['images']} images, the mean over the labels "
            f"that\noccur. Of the labels with a probability above 0.5, the F1 is {result['micro_f1']:.3f} over all "
            f"decisions (micro)\nand {result['macro_f1']:.3f} as the mean over labels (macro)."
        )

    def calibration_sentence(self, figures: Mapping[str, Any]) -> str:
        return f"{calibration_sentence(figures)} {thresholds_sentence(figures)}"

    def card_calibration(self, figures: Mapping[str, Any]) -> str:
        return f"{card_of_probabilities(figures)}\n\n{thresholds_sentence(figures)}"

    def card_rows(self, result: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, ...]]:
        of_each = [result.get(name, [None] * len(names)) for name in FIGURES]
        columns = (result["positives"], result["average_precisions"], *of_each, result["f1s"])
        return [(name, *map(figure_text, figures)) for name, *figures in zip(names, *columns, strict=True)]

    def draw(self, target: Path, evaluation: LabelEvaluation, names: Sequence[str]) -> None:
        """A bar for each label's average precision, the best at the top."""
        from zoo_core.drawing import MAX_LABELLED, Figure, axis_names, save_figure

        precisions = np.nan_to_num(evaluation.average_precisions)
        order = np.argsort(precisions, kind="stable")
        height = min(14.0, max(2.5, 0.3 * len(names) + 1.5))  # inches
        figure = Figure(figsize=(6, height), layout="constrained")
        axes = figure.subplots()
        if len(names) <= MAX_BARS:
            axes.barh(range(len(names)), precisions[order], color="tab:blue")
        else:
            axes.fill_betweenx(range(len(names)), precisions[order], color="tab:blue")
        title = f"Mean average precision {100 * evaluation.own_score:.1f} %"
        axes.set(xlim=(0, 1), xlabel="average precision", title=title)
        axes.set_yticks([])
        if len(names) <= MAX_LABELLED:
            axes.set_yticks(range(len(names)), axis_names([names[index] for index in order]))
        save_figure(figure, target)

    def parse_figures(self, line: Mapping[str, Any], num_outputs: int) -> dict[str, Any]:
        there = [name for name in FIGURES if name in line]
        lists = parsed_lists(line, ("positives", "average_precisions", "f1s", *there), num_outputs)
        shares = {name: as_number(line[name]) for name in ("mean_average_precision", "micro_f1", "macro_f1")}
        return {
            "metric": as_text(line["metric"]),
            "score": as_number(line["score"]),
            **shares,
            **lists,
        }


def label_value(text: str) -> float | None:
    """1 or 0 for the texts by which tables say that an image has a label or not, None for others.

    Tables write 1.0 and 0.0 where a value was missing once, and True and False for booleans.
    """
    return LABEL_VALUES.get(text.lower())


def split_labels(text: str) -> list[str]:
    """The labels of a cell, without the spaces around them."""
    return [label.strip() for label in text.split(SEPARATOR) if label.strip()]
