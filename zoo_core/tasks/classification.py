"""Classification: every image has exactly one class.

Shapes: B batch, N images, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo_core.errors import DataError, UsageError, printable, shown
from zoo_core.json_checks import as_count, as_list, as_number, parsed_lists, same_length
from zoo_core.tasks.chosen import images_text
from zoo_core.tasks.class_evaluation import MAX_MATRIX, ClassEvaluation
from zoo_core.tasks.honesty import calibration_sentence, card_of_probabilities
from zoo_core.tasks.losses import focal_of_classes
from zoo_core.tasks.metrics import ACCURACY, Baseline, FloatArray
from zoo_core.tasks.targets import PartName, Samples, TargetColumns, Targets, sample_error
from zoo_core.tasks.task import Answers, BoolArray, Task, Threshold
from zoo_core.wording import counted, figure_text

if TYPE_CHECKING:  # listing runs needs a task's words, and not torch
    from torch import Tensor, nn

MANY = 50  # classes: a table of more is no picture of what is confused
MOST_CONFUSED = 10  # pairs of so many classes that are named
FIGURES = ("precisions", "recalls", "f1s")
"""The figures of each class in a result, which runs before zoo 0.3 lack."""


class Classification(Task[ClassEvaluation]):
    name = "classification"
    output = "class"
    outputs = "classes"
    answer = "probability"
    metric = ACCURACY
    single_label = True
    constant_answer = "the most frequent class"
    picture = "confusion.png"
    caption = "Confusion matrix"
    card_opening = "An image classifier for"
    card_columns = ("class", "found", "images", "precision", "recall", "F1")
    card_limits = (
        "The model knows only the classes above and answers with one of them for any image. The accuracy holds for "
        "images like\nthose it was measured on."
    )

    def answered(self, evaluation: ClassEvaluation) -> Targets | None:
        return evaluation.answers

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
        """Cross-entropy of logits (B, K) and class indices (B), or shares of the classes (B, K);
        above a gamma of 0 the focal loss.

        The mean is over the images also where they have weights, so that parts of a batch add up.
        """
        from torch.nn import functional

        if gamma:
            losses_BK = focal_of_classes(outputs, targets, gamma, label_smoothing)
            return (losses_BK if class_weights is None else losses_BK * class_weights.to(losses_BK)).sum(1).mean()
        if class_weights is None:
            return functional.cross_entropy(outputs, targets, label_smoothing=label_smoothing)
        losses_B = functional.cross_entropy(
            outputs, targets, weight=class_weights.to(outputs), reduction="none", label_smoothing=label_smoothing
        )
        return losses_B.mean()

    def evaluate(self, outputs_NK: Tensor, targets: Tensor, loss: float) -> ClassEvaluation:
        return ClassEvaluation.of(targets.numpy(), outputs_NK.argmax(1).numpy(), outputs_NK.shape[1], loss=loss)

    def is_joined(self, num_outputs: int) -> bool:
        return num_outputs > MAX_MATRIX

    def join(self, parts: Sequence[ClassEvaluation]) -> ClassEvaluation:
        return ClassEvaluation.joined(parts)

    def baseline(self, train_targets: Targets, targets: Targets) -> Baseline:
        """The accuracy of the training images' most frequent class, given to every image."""
        return Baseline(float((targets == np.bincount(train_targets).argmax()).mean()))

    def constant(self, train_targets: Targets, num_outputs: int) -> FloatArray:
        """The share of each class."""
        return np.bincount(train_targets, minlength=num_outputs) / len(train_targets)

    def values(self, outputs_NK: Tensor) -> Tensor:
        return outputs_NK.softmax(1)

    def changed(self, answers_NK: Tensor, others_NK: Tensor) -> int:
        return int((answers_NK.argmax(1) != others_NK.argmax(1)).sum())

    def answers(self, outputs_K: Tensor, names: Sequence[str], top: int, threshold: Threshold) -> Answers:
        """The `top` most probable classes with their probabilities, all of them where there is no threshold."""
        values, indices = outputs_K.softmax(0).sort(descending=True, stable=True)
        ranked = zip(indices[:top].tolist(), values[:top].tolist(), strict=True)
        return tuple((names[index], value) for index, value in ranked if threshold is None or value > threshold)

    def check_outputs(self, where: str, names: Sequence[str]) -> None:
        super().check_outputs(where, names)
        if len(names) < 2:
            raise DataError(f"{where} has only the class '{printable(names[0])}'. A training needs at least two.")

    def occurring(self, targets: Targets, num_outputs: int) -> BoolArray:
        return np.bincount(targets, minlength=num_outputs) > 0

    def read_columns(self, table: TargetColumns) -> tuple[tuple[str, ...], Targets]:
        """One column of class names; the classes are those of the training rows, sorted."""
        listed = ", ".join(f"'{printable(name)}'" for name in table.columns[:10])
        if len(table.columns) != 1:
            raise UsageError(f"--task classification needs one column of classes, and {table.where} has {listed}.")
        for row, (text,) in enumerate(table.cells):
            if not text:
                raise table.error(row, f"the column {listed} is empty.")
        names = tuple(sorted({table.cells[row][0] for row in table.train}))
        positions = {name: position for position, name in enumerate(names)}
        for row, (text,) in enumerate(table.cells):
            if text not in positions:
                raise table.error(row, f"the class '{printable(text)}' is not among those of the training images.")
        return names, np.asarray([positions[text] for (text,) in table.cells], dtype=np.int64)

    def fits(self, target: Any) -> bool:
        return isinstance(target, str | int) and not isinstance(target, bool)

    def read_values(self, values: Sequence[Any], names: Sequence[str] | None) -> tuple[tuple[str, ...], Targets]:
        """Classes by name, or by index into `names`; without names they are the distinct values, sorted."""
        distinct = sorted(set(values))
        if names is not None and all(isinstance(value, int) for value in distinct):
            if distinct[0] < 0 or distinct[-1] >= len(names):
                raise IndexError(f"class {distinct[0] if distinct[0] < 0 else distinct[-1]} of {len(names)}")
            return tuple(names), np.asarray(values, dtype=np.int64)
        known = tuple(names) if names is not None else tuple(str(value) for value in distinct)
        positions = {value: known.index(str(value)) for value in distinct}
        return known, np.asarray([positions[value] for value in values], dtype=np.int64)

    def read_samples(
        self, where: str, samples: Samples, names: tuple[str, ...] | None
    ) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
        """One class a text; the classes are those of the training images, in the order of `names`.

        Without `names` they are sorted, whole numbers first.
        """
        known: dict[str, str] = {str(position): name for position, name in enumerate(names or ())}
        for of_part in samples.values():
            for sample in of_part:
                if not sample.text or (names is not None and sample.text not in known):
                    raise sample_error(sample, f"has the class '{shown(sample.text)}', which is none of {len(known)}")
        in_train = {sample.text for sample in samples["train"]}
        texts = [text for text in known if text in in_train] if known else sorted(in_train, key=_numbers_first)
        positions = {text: position for position, text in enumerate(texts)}
        targets: dict[PartName, Targets] = {}
        for part, of_part in samples.items():
            for sample in of_part:
                if sample.text not in positions:
                    name = shown(known.get(sample.text, sample.text))
                    raise sample_error(sample, f"has the class '{name}', which the training images do not have")
            targets[part] = np.array([positions[sample.text] for sample in of_part], dtype=np.int64)
        return tuple(known.get(text, text) for text in texts), targets

    def summary(self, evaluation: ClassEvaluation, where: str) -> str:
        low, high = evaluation.interval
        images = images_text(evaluation, noun="")
        found = f"{evaluation.correct} of {images}; 95 % interval {100 * low:.1f} to {100 * high:.1f} %"
        return f"Accuracy {where}: {self.metric.text(evaluation.accuracy)} ({found})"

    def baseline_sentences(self, figures: Mapping[str, Any], baseline: Baseline) -> list[str]:
        """With a word where the score is better than the baseline, which lies within its
        interval."""
        sentences = super().baseline_sentences(figures, baseline)
        interval = self.interval_of(figures)
        if interval and self.beats(figures, baseline) and interval[0] <= baseline.score <= interval[1]:
            title = self.metric_of(figures).title
            sentences.append(f"The baseline lies within the {title}'s interval: more images may show no difference.")
        return sentences

    def answer_text(self, value: float) -> str:
        return f"{100 * value:.1f} %"

    def target_text(self, target: Any, names: Sequence[str]) -> str:
        return names[int(target)]

    def screen_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Precision and recall in percent."""
        shares = {name: _percent(row[name]) for name in ("precision", "recall")}
        return {**super().screen_row(row), **shares}

    def card_result(self, result: Mapping[str, Any]) -> str:
        low, high = result["interval"]
        groups = f" in {counted(result['groups'], 'group')}" if result.get("groups") else ""
        return (
            "## Accuracy\n\n"
            f"**{100 * result['accuracy']:.1f} %** ({result['correct']} of {result['images']} images{groups}; "
            f"95 % confidence\ninterval {100 * low:.1f} to {100 * high:.1f} %, Wilson)."
        )

    def calibration_sentence(self, figures: Mapping[str, Any]) -> str:
        return calibration_sentence(figures)

    def card_calibration(self, figures: Mapping[str, Any]) -> str:
        return card_of_probabilities(figures)

    def card_rows(self, result: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, ...]]:
        matrix = result["confusion"]
        if matrix is None:
            found, images = result["found"], result["positives"]
        else:
            found, images = [row[index] for index, row in enumerate(matrix)], list(map(sum, matrix))
        of_each = [result.get(name, [None] * len(names)) for name in FIGURES]  # older runs have none
        columns = (map(str, found), map(str, images), *(map(figure_text, figures) for figures in of_each))
        return list(zip(names, *columns, strict=True))

    def draw(self, target: Path, evaluation: ClassEvaluation, names: Sequence[str]) -> None:
        """The confusion matrix, and where the classes are too many for names, the most confused
        pairs beside it."""
        from zoo_core.tasks.confusion_picture import draw_confusion

        draw_confusion(target, evaluation, names)

    def confusions(self, evaluation: ClassEvaluation, names: Sequence[str]) -> list[str]:
        if len(names) <= MANY:
            return []
        pairs = evaluation.confused_pairs(MOST_CONFUSED)
        told = [f"{printable(names[one])} as {printable(names[other])} ({n} of {of})" for one, other, n, of in pairs]
        return [f"Most confused: {', '.join(told)}."] if told else []

    def parse_figures(self, line: Mapping[str, Any], num_outputs: int) -> dict[str, Any]:
        low, high = as_list(line["interval"])
        few = line["confusion"] is not None
        return {
            "correct": as_count(line["correct"]),
            "accuracy": as_number(line["accuracy"]),
            "interval": [as_number(low), as_number(high)],
            **parsed_lists(line, [name for name in FIGURES if name in line], num_outputs),
            **(_parsed_matrix(line["confusion"], num_outputs) if few else _parsed_counts(line, num_outputs)),
        }


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _parsed_matrix(value: object, num_classes: int) -> dict[str, Any]:
    confusion = [[as_count(cell) for cell in as_list(row)] for row in as_list(value)]
    if [len(row) for row in confusion] != [num_classes] * num_classes:
        raise TypeError(f"the confusion matrix is not one of {num_classes} classes")
    return {"confusion": confusion}


def _parsed_counts(line: Mapping[str, Any], num_classes: int) -> dict[str, Any]:
    """The figures that stand for the matrix of many classes."""
    lists = {name: [as_count(one) for one in as_list(line[name])] for name in ("found", "positives")}
    same_length(lists, num_classes)
    confusions = [[as_count(one) for one in as_list(cell)] for cell in as_list(line["confusions"])]
    if any(len(cell) != 3 or max(cell[:2]) >= num_classes for cell in confusions):
        raise TypeError(f"the confusions are not between {num_classes} classes")
    return {"confusion": None, **lists, "confusions": confusions}


def _numbers_first(text: str) -> tuple[int, str]:
    """The sort key of class texts: whole numbers in their order, then everything else."""
    return (int(text), "") if text.isdecimal() and text.isascii() and len(text) < 19 else (2**63, text)
