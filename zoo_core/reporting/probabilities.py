"""The section of a report on its probabilities: how honest they are."""

from __future__ import annotations

from typing import Any

from zoo_core.reporting.charts import reliability_chart
from zoo_core.reporting.gather import Measured
from zoo_core.tasks.calibration import Bin, calibration_error, decisions, reliability
from zoo_core.wording import percent


def probabilities(measured: Measured) -> dict[str, Any]:
    """The section: bins of similar probabilities with the share that is right, as the card has them."""
    if not measured.task.has_temperature:
        return {"reliability": None}
    words = ("answers", "right") if measured.task.single_label else ("labels", "there")
    told = measured.result.get("calibration") if measured.is_own else None
    told = told if told and told.get("bins") else None
    known = [Bin(**one) for one in told["bins"]] if told else None
    bins = known or reliability(*decisions(measured.values_NK, measured.part.targets))
    return {
        "reliability": reliability_chart(bins, *words),
        "things": words[0],
        "are": words[1],
        "bins": [[str(one.count), percent(one.probability), percent(one.right)] for one in bins],
        "ece": percent(calibration_error(bins)),
        "temperature": f"{measured.predictor.objective.fitted.temperature:.2f}",
        "fitted": _fitted_words(measured, told),
    }


def _fitted_words(measured: Measured, told: dict[str, Any] | None) -> str:
    """The relation of the temperature to the images of the page."""
    if told and told["is_crossed"]:
        return "which was fitted to the validation images, and for this figure to each half of them for the other"
    if measured.is_own and measured.part_name == "val":
        return "which was fitted to these images: on new ones the error may be larger"
    return "which was fitted to the validation images"
