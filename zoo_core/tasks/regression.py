"""Regression: every image has one number or several, in the user's units.

Shapes: B batch, N images, K numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo_core.errors import DataError, printable, shown
from zoo_core.json_checks import as_number, as_text, parsed_lists
from zoo_core.tasks import metrics
from zoo_core.tasks.bootstrap import Sample
from zoo_core.tasks.chosen import Resampled, Score, images_text, own_interval_text
from zoo_core.tasks.honesty import intervals_sentence
from zoo_core.tasks.metrics import Baseline, FloatArray, Metric
from zoo_core.tasks.targets import PartName, Samples, TargetColumns, Targets, sample_error, stored_numbers
from zoo_core.tasks.task import Answers, Task, Threshold
from zoo_core.wording import figure_text, number_text

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo_core.tasks.units import Units

LARGEST = float(np.finfo(np.float32).max)
R2 = Metric("r2", "R2", "R2", unit="R2", factor=1, decimals=3, at_most=1.0)


@dataclass(frozen=True, eq=False)
class NumberEvaluation(Resampled):
    """Predicted and true numbers, (N, K) each, in the targets' units."""

    predicted: FloatArray
    true: FloatArray
    loss: float
    chosen: Score | None = None
    groups_N: metrics.Counts | None = None
    own_metric = R2

    @property
    def own_score(self) -> float:
        """The mean R2 of the columns, so that no column's unit decides which epoch is the best."""
        return float(self.r2.mean())

    @property
    def sample(self) -> Sample:
        return Sample(lambda *pair: float(metrics.r2(*pair).mean()), self.predicted, self.true, self.groups_N)

    @property
    def images(self) -> int:
        return len(self.true)

    @property
    def rmse(self) -> FloatArray:
        return metrics.rmse(self.predicted, self.true)

    @property
    def mae(self) -> FloatArray:
        return metrics.mae(self.predicted, self.true)

    @property
    def r2(self) -> FloatArray:
        return metrics.r2(self.predicted, self.true)

    def figures(self) -> dict[str, Any]:
        return {
            "rmse": overall_rmse(self.rmse),
            "mae": float(self.mae.mean()),
            "r2": self.own_score,
            "rmses": self.rmse.tolist(),
            "maes": self.mae.tolist(),
            "r2s": self.r2.tolist(),
        }

    def by_output(self, names: Sequence[str]) -> list[dict[str, Any]]:
        rows = zip(names, self.rmse.tolist(), self.mae.tolist(), self.r2.tolist(), strict=True)
        return [{"number": name, "rmse": rmse, "mae": mae, "r2": r2} for name, rmse, mae, r2 in rows]


def overall_rmse(rmse_K: FloatArray) -> float:
    """The root mean squared error over all columns."""
    return float(np.sqrt(np.square(rmse_K).mean()))


class Regression(Task[NumberEvaluation]):
    answers_with_all = True
    has_temperature = False
    name = "regression"
    output = "number"
    outputs = "numbers"
    answer = "value"
    metric = R2
    smooths_labels = False
    constant_answer = "the mean of the targets"
    picture = "scatter.png"
    caption = "Predicted and true numbers"
    card_opening = "A model that reads from images"
    card_columns = ("number", "RMSE", "MAE", "R2")
    card_limits = (
        "The model answers with numbers for any image, whatever it shows. The errors are those for images like\n"
        "those it was measured on."
    )
    pipeline_tag = None
    hub_task = "image-regression"

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
        """Mean squared error (B, K), in standard deviations of the training targets."""
        units = _units_of(head)
        return ((outputs - targets) / (1 if units is None else units.std)).square().mean()

    def evaluate(self, outputs_NK: Tensor, targets: Tensor, loss: float) -> NumberEvaluation:
        return NumberEvaluation(outputs_NK.double().numpy(), targets.double().numpy(), loss)

    def baseline(self, train_targets: Targets, targets: Targets) -> Baseline:
        """R2 and RMSE of the training targets' mean, predicted for every image."""
        true = targets.astype(np.float64)
        predicted = np.broadcast_to(train_targets.astype(np.float64).mean(0), true.shape)
        return Baseline(float(metrics.r2(predicted, true).mean()), overall_rmse(metrics.rmse(predicted, true)))

    def answered(self, evaluation: NumberEvaluation) -> Targets | None:
        return evaluation.predicted

    def resampled(self, answers_NK: FloatArray, targets_NK: FloatArray, weights_BN: FloatArray) -> FloatArray:
        means: FloatArray = metrics.resampled_r2(answers_NK, targets_NK, weights_BN).mean(1)
        return means

    def constant(self, train_targets: Targets, num_outputs: int) -> FloatArray:
        """The mean of each column."""
        mean: FloatArray = train_targets.astype(np.float64).mean(0)
        return mean

    def beats(self, figures: Mapping[str, Any], baseline: Baseline) -> bool:
        """By R2; of targets that do not vary R2 says nothing, and RMSE decides."""
        smaller: bool = baseline.rmse is not None and figures["rmse"] < baseline.rmse
        return super().beats(figures, baseline) or (figures["r2"] == baseline.score and smaller)

    def answers(self, outputs_K: Tensor, names: Sequence[str], top: int, threshold: Threshold) -> Answers:
        """Every number, in the order of the columns."""
        return tuple(zip(names, outputs_K.tolist(), strict=True))

    def finish_head(self, head: nn.Module, num_outputs: int) -> nn.Module:
        """The head with `Units` behind it: from standardised numbers to the targets' units."""
        from zoo_core.tasks.units import in_units

        return in_units(head, num_outputs)

    def fit_units(self, head: nn.Module, targets: Targets) -> None:
        import torch

        units = _units_of(head)
        if units is not None:
            with torch.no_grad():
                units.set_from(torch.from_numpy(targets))

    def match_units(self, head: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        for name, child in head.named_children():
            if child is _units_of(head) and f"{name}.mean" in tensors:
                child.to(tensors[f"{name}.mean"].dtype)

    def read_columns(self, table: TargetColumns) -> tuple[tuple[str, ...], Targets]:
        """Columns of finite numbers."""
        targets = table.zeros(len(table.columns), np.float64)
        for row, cells in enumerate(table.cells):
            for position, (column, text) in enumerate(zip(table.columns, cells, strict=True)):
                value = parsed_number(text)
                if not is_storable(value) or "_" in text:
                    problem = f"'{printable(column)}' must be a finite number, got '{printable(text)}'."
                    raise table.error(row, problem)
                targets[row, position] = value
        return table.columns, stored_numbers(targets)

    def fits(self, target: Any) -> bool:
        numbers = target if isinstance(target, list) else [target]
        return bool(numbers) and all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers)

    def read_values(self, values: Sequence[Any], names: Sequence[str] | None) -> tuple[tuple[str, ...], Targets]:
        """Numbers, or vectors of numbers: "value", or "value0" and so on, where the data have no
        `names`."""
        vectors = [value if isinstance(value, list) else [value] for value in values]
        width = len(vectors[0])
        names = names or (["value"] if width == 1 else [f"value{n}" for n in range(width)])
        targets = np.asarray(vectors, dtype=np.float64)
        if targets.shape != (len(values), len(names)) or not (np.abs(targets) <= LARGEST).all():
            raise ValueError(f"not {len(names)} finite numbers for every image")
        return tuple(names), stored_numbers(targets)

    def read_samples(
        self, where: str, samples: Samples, names: tuple[str, ...] | None
    ) -> tuple[tuple[str, ...], dict[PartName, Targets]]:
        """As many numbers as there are `names`, separated by spaces."""
        names = names or ()
        targets: dict[PartName, Targets] = {}
        for part, of_part in samples.items():
            targets[part] = np.empty((len(of_part), len(names)), dtype=np.float64)
            for row, sample in enumerate(of_part):
                values = [parsed_number(text) for text in sample.text.split()]
                if len(values) != len(names) or not all(map(is_storable, values)):
                    raise sample_error(sample, f"needs {len(names)} finite numbers and has '{shown(sample.text)}'")
                targets[part][row] = values
        stored = stored_numbers(np.concatenate(list(targets.values())))
        ends = np.cumsum([len(of_part) for of_part in targets.values()])[:-1]
        return names, dict(zip(targets, np.split(stored, ends), strict=True))

    def reordered(self, targets: Targets, names: Sequence[str], order: Sequence[str], where: str) -> Targets:
        """As for every task; a number cannot be missing, so DataError is raised for that too."""
        moved = super().reordered(targets, names, order, where)
        missing = [name for name in order if name not in names]
        if missing:
            raise DataError(f"{where} has no column '{printable(missing[0])}', which the run predicts.")
        return moved

    def summary(self, evaluation: NumberEvaluation, where: str) -> str:
        figures = evaluation.figures()
        errors = f"RMSE {figure_text(figures['rmse'])}, MAE {figure_text(figures['mae'])}"
        beside = own_interval_text(evaluation)
        return f"R2 {where}: {self.metric.text(evaluation.own_score)} ({images_text(evaluation)}; {beside}{errors})"

    def answer_text(self, value: float) -> str:
        return number_text(value)

    def target_text(self, target: Any, names: Sequence[str]) -> str:
        return ", ".join(f"{name} {self.answer_text(value)}" for name, value in zip(names, target, strict=True))

    def card_result(self, result: Mapping[str, Any]) -> str:
        return (
            "## Errors\n\n"
            f"R2 **{result['r2']:.3f}** on {result['images']} images;\n"
            f"root mean squared error {figure_text(result['rmse'])}, mean absolute error {figure_text(result['mae'])}."
        )

    def calibration_sentence(self, figures: Mapping[str, Any]) -> str:
        return intervals_sentence(figures)

    def card_calibration(self, figures: Mapping[str, Any]) -> str:
        return f"## Intervals\n\n{intervals_sentence(figures)}"

    def card_rows(self, result: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, ...]]:
        columns = (result["rmses"], result["maes"], result["r2s"])
        return [(name, *map(figure_text, figures)) for name, *figures in zip(names, *columns, strict=True)]

    def draw(self, target: Path, evaluation: NumberEvaluation, names: Sequence[str]) -> None:
        """Predicted against true numbers, a panel for each of the first nine columns."""
        from zoo_core.tasks.scatter_picture import draw_scatter

        draw_scatter(target, evaluation, names)

    def parse_figures(self, line: Mapping[str, Any], num_outputs: int) -> dict[str, Any]:
        lists = parsed_lists(line, ("rmses", "maes", "r2s"), num_outputs)
        means = {name: as_number(line[name]) for name in ("rmse", "mae", "r2")}
        return {"metric": as_text(line["metric"]), "score": as_number(line["score"]), **means, **lists}


def parsed_number(text: str) -> float:
    """The number that a text writes, NaN where it writes none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def is_storable(value: float) -> bool:
    """Whether a number is finite and within float32."""
    return math.isfinite(value) and abs(value) <= LARGEST


def _units_of(head: nn.Module) -> Units | None:
    from zoo_core.tasks.units import units_of

    return units_of(head)
