"""The picture of `zoo history`: the challenge's errors by year, and the networks with
theirs.

The two kinds of error have an axis each. Blue, orange and grey are told apart by people with any
eyes, and every colour is said by a shape or a word too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from zoo_core.drawing import ABOVE, GROUND, INK, LINE, SOFT, Figure, axis_names, save_figure
from zoo_core.history import ChallengeYear, History, Network
from zoo_core.wording import human_count

LEARNED, HAND_MADE, OUTSIDE = "#0072b2", "#808080", "#d55e00"  # from Okabe and Ito's palette, and grey
ON_BAR = "#fafafa"
SIZE = (9.0, 8.4)  # inches


def draw_history(target: Path, told: History) -> None:
    """Draw the history to a PNG or an SVG file."""
    figure = Figure(figsize=SIZE, layout="constrained", facecolor=GROUND)
    networks = [one for one in told.networks if one.top5_error is not None and one.params]
    upper, lower = figure.subplots(2, height_ratios=(1, 1.4)) if networks else (figure.subplots(), None)
    _draw_challenge(upper, told.challenge)
    if lower is not None:
        _draw_networks(lower, networks)
    save_figure(figure, target)


def _draw_challenge(axes: Any, years: tuple[ChallengeYear, ...]) -> None:
    for place, one in enumerate(years):
        axes.bar(place, one.error, 0.62, color=LEARNED if one.learned else HAND_MADE, hatch="" if one.learned else "//")
        name = one.winner + (f"\n({axis_names([one.backbone])[0]})" if one.backbone else "")
        axes.text(place, one.error + 0.7, f"{name}\n{one.error:.3g}", ha="center", va="bottom", size=8, color=INK)
        if one.outside is not None:
            axes.plot([place - 0.36, place + 0.36], [one.outside] * 2, color=OUTSIDE, linewidth=2.5)
            axes.text(place, one.outside - 0.5, f"{one.outside:.3g}", ha="center", va="top", size=8, color=ON_BAR)
    axes.bar([0], [0], color=HAND_MADE, hatch="//", label="features made by hand")
    axes.bar([0], [0], color=LEARNED, label="a learned network")
    axes.plot([], [], color=OUTSIDE, linewidth=2.5, label="with outside data")
    axes.set_xticks(range(len(years)), [str(one.year) for one in years])
    axes.set_ylim(0, 1.28 * max(one.error for one in years))
    _dress(axes, "The ImageNet challenge: top-5 error of the winning entry on the test images, %")
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)


def _draw_networks(axes: Any, networks: list[Network]) -> None:
    """A row for each network, the oldest on top: a dot at its error, beside it its parameters."""
    for row, one in enumerate(networks):
        error = one.top5_error or 0.0
        axes.hlines(row, 0, error, color=LINE, linewidth=1)
        axes.plot(error, row, "o", color=LEARNED, markersize=6)
        axes.text(error + 0.35, row, human_count(one.params), va="center", size=8, color=INK)
    names = [
        f"{one.year}  {name}" for one, name in zip(networks, axis_names([one.name for one in networks]), strict=True)
    ]
    axes.set_yticks(range(len(networks)), names)
    axes.set_ylim(len(networks) - 0.4, -0.6)
    axes.set_xlim(0, 1.12 * max(one.top5_error or 0.0 for one in networks))
    axes.set_xlabel("beside each dot: the parameters", size=8, color=INK)
    _dress(
        axes, "Networks of zoo by year: top-5 error of one network on one crop of the validation images, %", grid="x"
    )


def _dress(axes: Any, title: str, grid: Literal["x", "y"] = "y") -> None:
    axes.set_title(title, size=9.5, loc="left", color=INK, **ABOVE)
    axes.set_facecolor(GROUND)
    axes.grid(axis=grid, color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(SOFT)
