"""The picture of an advice: the data set among the four quadrants of transfer learning, and the
accuracy of features along the depth of each network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo_core.advising.advice import SIMILAR, Advice, Situation
from zoo_core.choosing.picture import COLOURS, OTHERS
from zoo_core.drawing import ABOVE, Figure, picture_text, save_figure

DOT, GRID, TEXT = "#D55E00", "#8A97A1", "#444444"
MOST_NETWORKS = len(COLOURS)  # of which curves can be told apart
FEWEST, MOST = 1, 1_000_000  # images a class at the edges
BELOW, ABOVE_ALL = -0.25, 1.0  # similarities at the edges
QUADRANTS = (
    # large, similar, words
    (False, True, "few, similar:\na head alone"),
    (True, True, "many, similar:\nfine-tune everything"),
    (False, False, "few, different:\nearlier features,\nor the last stages too"),
    (True, False, "many, different:\nfine-tune everything,\nor from scratch"),
)


def draw(target: Path, advice: Advice) -> None:
    """Draw an advice to a PNG file."""
    figure = Figure(figsize=(11, 4.6))
    quadrants, depths = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.07, right=0.98, bottom=0.13, top=0.91, wspace=0.22)
    _draw_quadrants(quadrants, advice.situation)
    _draw_depths(depths, advice)
    for axes in (quadrants, depths):
        axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, target)


def _draw_quadrants(axes: Any, situation: Situation) -> None:
    """Four fields with their rules of thumb, and a dot."""
    place = min(max(situation.images_per_class, FEWEST), MOST), min(max(situation.similarity, BELOW), ABOVE_ALL)
    many = min(max(situation.many, 2 * FEWEST), MOST / 2)
    axes.set_xscale("log")
    axes.set(xlim=(FEWEST, MOST), ylim=(BELOW, ABOVE_ALL))
    axes.axvline(many, color=GRID, linewidth=1)
    axes.axhline(SIMILAR, color=GRID, linewidth=1)
    for is_large, is_similar, words in QUADRANTS:
        left, right = (many, MOST) if is_large else (FEWEST, many)
        low, high = (SIMILAR, ABOVE_ALL) if is_similar else (BELOW, SIMILAR)
        is_here = (is_large, is_similar) == (situation.is_large, situation.is_similar)
        is_high = is_here and place[1] > (low + high) / 2  # then the words stand below, and never at the dot
        height, edge = (low + 0.03, "bottom") if is_high else (high - 0.03, "top")
        weight = "bold" if is_here else "normal"
        axes.text((left * right) ** 0.5, height, words, ha="center", va=edge, fontsize=9, color=TEXT, weight=weight)
        if is_here:
            axes.fill_between([left, right], low, high, color=DOT, alpha=0.08, linewidth=0)
            points = {"xytext": (0, -16 if is_high else 9), "textcoords": "offset points"}
            axes.annotate("your images", place, **points, ha="center", fontsize=9, color=DOT)
    axes.plot(*place, "o", color=DOT, markersize=11, clip_on=False, zorder=3)
    axes.set(xlabel="images a class", ylabel="mistakes of the first half that the last stage removes")
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_title("Size and similarity", loc="left", **ABOVE)


def _draw_depths(axes: Any, advice: Advice) -> None:
    """The accuracy at every stage boundary, the chosen one with a ring."""
    chosen = advice.choice.chosen
    ranked = sorted(advice.case.measured, key=lambda one: (one is not advice.network, one.best.loss))
    for number, one in enumerate(ranked[:MOST_NETWORKS]):
        colour = COLOURS[number] if number < len(COLOURS) else OTHERS
        depth = [probe.depth / one.last.depth for probe in one.probes]
        low, high = zip(*[probe.interval for probe in one.probes], strict=True)
        axes.fill_between(depth, [100 * end for end in low], [100 * end for end in high], color=colour, alpha=0.1)
        accuracies = [100 * probe.accuracy for probe in one.probes]
        name = picture_text(one.network.name)
        axes.plot(depth, accuracies, marker="o", markersize=4, color=colour, label=name)
        if one is advice.network:
            axes.plot(
                chosen.depth / one.last.depth, 100 * chosen.accuracy, "o", markersize=12, mfc="none", mec=colour, mew=2
            )
    share = 100 * advice.sample.baseline
    axes.axhline(share, color=GRID, linewidth=1, linestyle=":")
    axes.annotate("the most frequent class", (1.03, share), (0, 3), textcoords="offset points", ha="right", fontsize=8)
    axes.set(xlabel="depth of the stage boundary, of the whole network", ylabel="%", xlim=(0, 1.03))
    axes.set_title(f"Out-of-fold accuracy of a head, {len(advice.sample.part):,} images", loc="left", **ABOVE)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", frameon=False, fontsize=9)
