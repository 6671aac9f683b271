"""The contract of a task: one object serves training, evaluation, runs, cards and screens.

Shapes: B batch, N images, K outputs (classes, labels or numbers).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from zoo_core.errors import DataError, printable
from zoo_core.specs import TaskName
from zoo_core.tasks.chosen import metric_named, score_text
from zoo_core.tasks.metrics import Baseline, Evaluation, FloatArray, Interval, Metric
from zoo_core.tasks.targets import PartName, Samples, TargetColumns, Targets
from zoo_core.wording import figure_text

if TYPE_CHECKING:
    from torch import Tensor, nn

BoolArray = npt.NDArray[np.bool_]
Answers = tuple[tuple[str, float], ...]
Threshold = float | FloatArray | None
E = TypeVar("E", bound=Evaluation)


class Task(ABC, Generic[E]):
    """A task, for any network and any data. Subclasses set the words and implement the methods.

    `output` and `outputs` name the outputs of a model, `answer` the value beside each.
    `single_label` says that an image has exactly one class, so that targets are class indices (N).
    """

    name: ClassVar[TaskName]
    output: ClassVar[str]
    outputs: ClassVar[str]
    answer: ClassVar[str]
    metric: ClassVar[Metric]
    """The metric that counts where none was chosen."""
    single_label: ClassVar[bool] = False
    answers_with_all: ClassVar[bool] = False
    """Whether the answer for an image has every output, as numbers have."""
    has_temperature: ClassVar[bool] = True
    """Whether outputs are the logarithms of odds, which a temperature divides."""
    smooths_labels: ClassVar[bool] = True
    constant_answer: ClassVar[str]
    """The answer of the baseline, as a phrase."""
    picture: ClassVar[str]
    """The file that `draw` writes into a run directory."""
    caption: ClassVar[str]
    card_opening: ClassVar[str]
    card_columns: ClassVar[tuple[str, ...]]
    card_limits: ClassVar[str]
    pipeline_tag: ClassVar[str | None] = "image-classification"
    """The Hub's tag for such models, None where the Hub has none."""
    hub_task: ClassVar[str] = "image-classification"
    """The task in the Hub's evaluation results."""

    # -- training and evaluation

    @abstractmethod
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
        """The mean loss of a batch: outputs (B, K), targets (B) if single-label, else (B, K). Only
        a single-label task has weights of its classes (K), and numbers no focal `gamma`.
        """

    @abstractmethod
    def evaluate(self, outputs_NK: Tensor, targets: Tensor, loss: float) -> E:
        """The figures of a set of images, from outputs and targets on the CPU."""

    def is_joined(self, num_outputs: int) -> bool:
        """Whether the evaluation of all images is joined from those of their batches.

        So many outputs (N, K) would take too much memory together.
        """
        return False

    def join(self, parts: Sequence[E]) -> E:
        """The evaluation of all images from those of parts, where `is_joined` says so."""
        raise NotImplementedError

    @abstractmethod
    def baseline(self, train_targets: Targets, targets: Targets) -> Baseline:
        """The score on `targets` of the best constant answer, found in the training targets."""

    @abstractmethod
    def constant(self, train_targets: Targets, num_outputs: int) -> FloatArray:
        """The answer (K) that fits the training targets best, whatever the image."""

    def values(self, outputs_NK: Tensor) -> Tensor:
        """The answers (N, K) in outputs: probabilities of classes or labels, or numbers."""
        return outputs_NK

    def changed(self, answers_NK: Tensor, others_NK: Tensor) -> int:
        """The number of images that get another class, or other labels; numbers have no such step."""
        return 0

    @abstractmethod
    def answers(self, outputs_K: Tensor, names: Sequence[str], top: int, threshold: Threshold) -> Answers:
        """The answers for one image, names with values: classes or labels above the probability
        `threshold`, or above one (K) for each.

        None stands for the task's own. `top` limits a single-label task's.
        """

    @abstractmethod
    def answered(self, evaluation: E) -> Targets | None:
        """The answer for each image: its class (N), or the values (N, K) of labels or numbers. None
        where only counts are known."""

    def resampled(self, answers_NK: FloatArray, targets_NK: FloatArray, weights_BN: FloatArray) -> FloatArray:
        """The scores (B) in B resamples, in which image n stands `weights_BN[b, n]` times, of tasks
        with several answers an image."""
        raise NotImplementedError

    def finish_head(self, head: nn.Module, num_outputs: int) -> nn.Module:
        """A new head with the layers that the task puts behind it."""
        return head

    def fit_units(self, head: nn.Module, targets: Targets) -> None:
        """Set a head's units from the training targets, where the task has units."""

    def match_units(self, head: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Give a head's units the type that its saved tensors have, where the task has units."""

    # -- targets

    def check_outputs(self, where: str, names: Sequence[str]) -> None:
        """Raise DataError when a data set, called `where`, has too few classes or labels to train
        on."""
        if not names:
            raise DataError(f"{where}: no image has a {self.output}.")

    def held_out(self, targets: Targets, order: Sequence[int], count: int) -> Sequence[int]:
        """The images to hold out of a part: the first `count` of a random order of all.

        A task may pass over images without which something could not be trained.
        """
        return order[:count]

    def occurring(self, targets: Targets, num_outputs: int) -> BoolArray:
        """Which outputs (K) occur in the targets of a part; numbers always do."""
        return np.ones(num_outputs, dtype=np.bool_)

    @abstractmethod
    def read_columns(self, table: TargetColumns) -> tuple[tuple[str, ...], Targets]:
        """Output names and targets (N) or (N, K) of a table. Raises DataError with the line."""

    @abstractmethod
    def read_samples(
        self, where: str, samples: Samples, names: tuple[str, ...] | None
    ) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
        """Output names and targets by part. `names` are those that a text gives by position.

        Raises DataError with the sample.
        """

    @abstractmethod
    def fits(self, target: Any) -> bool:
        """Whether a target of a program's data (a str, int, float, or list of these) is one of the
        task."""

    @abstractmethod
    def read_values(self, values: Sequence[Any], names: Sequence[str] | None) -> tuple[tuple[str, ...], Targets]:
        """Output names and targets of a program's data. `names` are the outputs' if the data name
        them.

        Raises KeyError, IndexError, TypeError or ValueError for values of another task, and
        DataError for names that cannot be.
        """

    def reordered(self, targets: Targets, names: Sequence[str], order: Sequence[str], where: str) -> Targets:
        """Targets over `names` as targets over `order`. Names that the data lack have no image.

        Raises DataError for a name that is not in `order`.
        """
        unknown = [name for name in names if name not in order]
        if unknown:
            raise DataError(
                f"{printable(where)} has the {self.output} '{printable(unknown[0])}', which the run does not know. "
                f"Its {self.outputs}: {', '.join(printable(name) for name in order)}."
            )
        positions = np.array([order.index(name) for name in names], dtype=np.int64)
        if self.single_label:
            return positions[targets]
        moved = np.zeros((len(targets), len(order)), dtype=targets.dtype)
        moved[:, positions] = targets
        return moved

    # -- results: words, cards, pictures, files

    @abstractmethod
    def summary(self, evaluation: E, where: str) -> str:
        """One line for a screen: the task's own score, the number of images and the figures beside
        it."""

    def headline(self, evaluation: E, where: str) -> str:
        """The summary, and before it the score by the metric that was chosen, if one was."""
        own = self.summary(evaluation, where)
        return own if evaluation.shown == self.metric else f"{score_text(evaluation, where)}. {own}"

    def confusions(self, evaluation: E, names: Sequence[str]) -> list[str]:
        """The most confused pairs in words, where a table would have too many rows to see them."""
        return []

    def metric_of(self, figures: Mapping[str, Any]) -> Metric:
        """The metric that counts in a result; results of zoo 0.1, and figures alone, name none."""
        name = figures.get("metric", self.metric.name)
        if name == self.metric.name:
            return self.metric
        return metric_named(name, higher_is_better=figures.get("higher_is_better", True))

    def score_of(self, figures: Mapping[str, Any]) -> float:
        """The score in a result, by the metric that counts."""
        score: float = figures["score"] if "score" in figures else figures[self.metric.name]
        return score

    def interval_of(self, figures: Mapping[str, Any]) -> Interval | None:
        """The 95 % interval of the score in a result. `interval` is that of accuracy, the only one
        in runs of before."""
        own = figures.get("interval") if self.metric_of(figures) == self.metric else None
        found = figures.get("score_interval") or own
        return None if found is None else (found[0], found[1])

    @abstractmethod
    def answer_text(self, value: float) -> str:
        """The value of an answer as a screen shows it."""

    @abstractmethod
    def target_text(self, target: Any, names: Sequence[str]) -> str:
        """The target of one image in words: its class, its labels, or its numbers with their names."""

    @abstractmethod
    def card_result(self, result: Mapping[str, Any]) -> str:
        """The card's section on the result, in Markdown."""

    @abstractmethod
    def card_calibration(self, figures: Mapping[str, Any]) -> str:
        """The card's section on the fit to the validation images, in Markdown."""

    @abstractmethod
    def card_rows(self, result: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, ...]]:
        """The cells below `card_columns`, a row for each output."""

    @abstractmethod
    def calibration_sentence(self, figures: Mapping[str, Any]) -> str:
        """The fit to the validation images, and its effect."""

    def screen_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row of `Evaluation.by_output` as `zoo evaluate` shows it: column names and values."""
        return {name.replace("_", " "): value for name, value in row.items()}

    @abstractmethod
    def draw(self, target: Path, evaluation: E, names: Sequence[str]) -> None:
        """Draw predictions against the truth to a PNG file."""

    @abstractmethod
    def parse_figures(self, line: Mapping[str, Any], num_outputs: int) -> dict[str, Any]:
        """Check the task's figures in the result line of a run.

        Raises KeyError for a figure that is missing, TypeError or ValueError for one of another
        shape.
        """

    def beats(self, figures: Mapping[str, Any], baseline: Baseline) -> bool:
        """Whether the figures of an evaluation are better than the baseline's."""
        metric = self.metric_of(figures)
        return metric.gain(self.score_of(figures)) > metric.gain(baseline.score)

    def baseline_sentences(self, figures: Mapping[str, Any], baseline: Baseline) -> list[str]:
        """The baseline in words, and a warning where the figures do not beat it."""
        rmse = "" if baseline.rmse is None else f", RMSE {figure_text(baseline.rmse)}"
        metric = self.metric_of(figures)
        score = f"{metric.short} {metric.text(baseline.score)}{rmse}"
        sentences = [f"Baseline: {score} ({self.constant_answer} for every image)."]
        if not self.beats(figures, baseline):
            own = f"{metric.short} {metric.text(self.score_of(figures))}"
            sentences.append(
                f"The model does not beat its baseline: with {own} it is no better than an answer that never looks at "
                "the image."
            )
        return sentences
