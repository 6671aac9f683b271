"""The fit to the validation images in words for screens and cards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo_core.tasks.chosen import metric_named
from zoo_core.wording import figure_text

ROW = "| {probability} | {right} | {count} |"


def calibration_sentence(figures: Mapping[str, Any]) -> str:
    """The temperature and the calibration error without and with it."""
    after, before = (f"{100 * figures[name]:.1f} %" for name in ("ece", "ece_before"))
    if figures["temperature"] == 1:
        return (
            "Probabilities: the network's own, for no temperature made them more honest; expected calibration error "
            f"{after} {measured_on(figures)}."
        )
    return (
        f"Probabilities: divided outputs by the temperature {figures['temperature']:.3g}, fitted to the validation images; "
        f"expected calibration error {after}, without it {before}, {measured_on(figures)}."
    )


def thresholds_sentence(figures: Mapping[str, Any]) -> str:
    """The labels' thresholds and the score that chose them, without and with them; runs of before
    chose by macro F1 alone."""
    metric = metric_named(figures.get("thresholds_metric", "macro-f1"))
    after, before = (
        metric.text(figures.get(f"thresholds_score{end}", figures[f"macro_f1{end}"])) for end in ("", "_before")
    )
    if figures["thresholds"] is None:
        return (
            f"A label is given above a probability of 0.5: {metric.title} {after}, which no other thresholds improved."
        )
    low, high = min(figures["thresholds"]), max(figures["thresholds"])
    return (
        f"A label is given above a threshold of its own, {low:.2f} to {high:.2f}: {metric.title} {after}, at 0.5 {before}, "
        f"{measured_on(figures)}."
    )


def intervals_sentence(figures: Mapping[str, Any]) -> str:
    """The widths of the intervals of numbers, and how often they held."""
    widths = ", ".join(map(figure_text, figures["half_widths"]))
    held = ", ".join(f"{100 * share:.1f} %" for share in figures["covered"])
    return (
        f"In {100 * figures['coverage']:g} % of new images the true number should lie within {widths} of the answer; it did "
        f"in {held} {measured_on(figures)}."
    )


def card_of_probabilities(figures: Mapping[str, Any]) -> str:
    """The card's section: the sentence, and a row for each bin of similar probabilities."""
    rows = [
        ROW.format(probability=_percent(one["probability"]), right=_percent(one["right"]), count=one["count"])
        for one in figures["bins"]
    ]
    head = "| probability, the mean | share that is right | answers |\n|---|---|---|"
    return "\n".join(["## Probabilities", "", calibration_sentence(figures), "", head, *rows])


def measured_on(figures: Mapping[str, Any]) -> str:
    if figures["is_crossed"]:
        return "measured on each half of the validation images with the fit to the other"
    return f"measured on the {figures['part']} images"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
