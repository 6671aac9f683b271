"""Charts as SVG inside a page: they take the page's colours, so that they are readable in light and
dark.

Every chart has a sentence for those who do not see it, and its numbers stand in a table of the page
or in the titles of its parts. Names are escaped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from markupsafe import Markup

from zoo_core.errors import printable
from zoo_core.tasks.calibration import Bin
from zoo_core.wording import isolated, number_text, shortened, told_apart

WIDTH, HEIGHT = 440, 240
RIGHT, TOP, BOTTOM = 12, 18, 34
SIDE = HEIGHT - TOP - BOTTOM
MOST_STEPS = 5  # from one tick of an axis to the next
LETTER = 7  # pixels of a digit, at most
NAME = 18  # letters of a name beside a row
HEADING = "answers, in the same order"


@dataclass(frozen=True)
class Dot:
    """An image of the map of features: its place from 0 to 1, its class, whether it is answered
    rightly, and its words."""

    x: float
    y: float
    colour: int
    is_right: bool
    title: str
    image: str | None


@dataclass(frozen=True)
class Axis:
    """The numbers of an axis from `low` to `high`, with the room that their texts need."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Axis:
        """From the smallest to the largest of some numbers; around them where all are equal."""
        low, high = min(values), max(values)
        beside = 0 if high > low else max(0.5, 1e-6 * abs(low))
        return cls(low - beside, high + beside)

    @property
    def ticks(self) -> list[float]:
        """Two to six round numbers on it."""
        least = (self.high - self.low) / MOST_STEPS
        unit = 10.0 ** floor(log10(least))
        step = next(times * unit for times in (1, 2, 5, 10, 20) if times * unit >= least)
        return [number * step for number in range(ceil(self.low / step), floor(self.high / step) + 1)]

    @property
    def texts(self) -> list[str]:
        """The ticks with all their digits: they are round, so that there are few."""
        return [f"{tick:.15g}" for tick in self.ticks]

    @property
    def room(self) -> int:
        """The pixels beside the axis."""
        return max(52, 12 + LETTER * max(map(len, self.texts)))

    def share(self, value: float) -> float:
        """The place of a number, from 0 at the low end to 1."""
        return (value - self.low) / (self.high - self.low)


def curves(lines: Mapping[str, Sequence[float]], *, best: int, unit: str, factor: float = 1.0) -> Markup:
    """Values by epoch, a line for each name; a dotted line marks the best epoch."""
    axis = Axis.over([factor * value for line in lines.values() for value in line])
    left, epochs = axis.room, max(len(line) for line in lines.values())

    def place(epoch: float, value: float) -> tuple[float, float]:
        share = (epoch - 1) / max(1, epochs - 1)
        return left + share * (WIDTH - left - RIGHT), TOP + (1 - axis.share(value)) * SIDE

    drawn = _frame(axis, unit)
    marked, _ = place(best, axis.low)
    drawn.append(f'<line class="best" x1="{marked:.1f}" x2="{marked:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    for number, (name, line) in enumerate(lines.items()):
        points = " ".join(
            f"{x:.1f},{y:.1f}" for x, y in (place(epoch, factor * one) for epoch, one in enumerate(line, 1))
        )
        drawn.append(f'<polyline class="line{number}" points="{points}"/>')
        right = WIDTH - RIGHT - 56 * (len(lines) - 1 - number)
        drawn.append(f'<text class="line{number}" text-anchor="end" x="{right}" y="{TOP - 6}">{escape(name)}</text>')
    for epoch in sorted({1, best, epochs}):
        x, _ = place(epoch, axis.low)
        drawn.append(f'<text text-anchor="middle" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}">{epoch}</text>')
    drawn.append(f'<text text-anchor="end" x="{WIDTH - RIGHT}" y="{HEIGHT - 3}">epoch</text>')
    return _svg(drawn, f"{' and '.join(lines)} by epoch; the best epoch is {best}")


def reliability_chart(bins: Sequence[Bin], things: str, are: str) -> Markup:
    """The share of things that are so, such as answers that are right, by their probability.

    On the dotted diagonal both agree.
    """
    axis = Axis(0.0, 1.0)
    left = axis.room

    def place(x: float, y: float) -> tuple[float, float]:
        return left + x * SIDE, TOP + (1 - y) * SIDE

    drawn = _frame(axis, are, width=left + SIDE)
    (x1, y1), (x2, y2) = place(0, 0), place(1, 1)
    drawn.append(f'<line class="best" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
    for one in bins:
        x, y = place(one.probability, one.right)
        title = f"{one.count} {things} with a probability of {one.probability:.2f}: {100 * one.right:.0f} % are {are}"
        drawn.append(f'<circle class="c0" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{title}</title></circle>')
    drawn.append(f'<text x="{left}" y="{HEIGHT - 3}">0 … probability … 1</text>')
    return _svg(drawn, f"the share of {things} that are {are}, by their probability", width=left + SIDE + RIGHT)


def confusion_chart(matrix: Sequence[Sequence[int]], names: Sequence[str]) -> Markup:
    """The matrix of classes, a row a true class; the darker a cell, the larger its share of the
    row."""
    cell, room = 28, 140
    shown = told_apart([printable(name) for name in names], NAME)
    drawn = [f'<text x="{room}" y="14">{HEADING}</text>']
    for row, (name, counts) in enumerate(zip(names, matrix, strict=True)):
        total, y = sum(counts) or 1, 20 + row * cell
        drawn.append(f'<text text-anchor="end" x="{room - 6}" y="{y + 18}">{_escaped(shown[row])}</text>')
        for column, count in enumerate(counts):
            kind = "right" if row == column else "wrong"
            title = _escaped(f"{count} of {total} images of {name} are answered with {names[column]}")
            x, share = room + column * cell, count / total
            drawn.append(
                f'<rect class="{kind}" style="fill-opacity:{share:.2f}" x="{x}" y="{y}" width="{cell}" height="{cell}">'
                f"<title>{title}</title></rect>"
            )
            if count:
                strong = ' class="strong"' if share > 0.5 else ""
                drawn.append(f'<text{strong} text-anchor="middle" x="{x + cell / 2}" y="{y + 18}">{count}</text>')
    size = len(names) * cell
    width = room + max(size + 4, LETTER * len(HEADING))
    return _svg(drawn, "images by class and answer", width=width, height=24 + size)


def plan_chart(parts: Sequence[str], phases: Sequence[tuple[int, Sequence[float]]]) -> Markup:
    """The frozen and the trained stages: a column for each phase, as wide as its epochs, a row for
    each stage."""
    total = max(1, sum(epochs for epochs, _ in phases))
    room, row, epoch = 140, 20, max(1.0, min(40.0, 300 / total))
    drawn, left = [], float(room)
    for number, name in enumerate(told_apart([printable(part) for part in parts], NAME)):
        drawn.append(f'<text text-anchor="end" x="{room - 6}" y="{35 + number * row}">{_escaped(name)}</text>')
    for epochs, rates in phases:
        highest, width = max(rates) or 1.0, max(epochs * epoch, 3.0)
        if width > 20:
            drawn.append(f'<text x="{left + 2:.1f}" y="14">{epochs} epochs</text>')
        for number, (name, rate) in enumerate(zip(parts, rates, strict=True)):
            kind, said = ("trained", "trained") if rate > 0 else ("frozen", "frozen")
            shade = f' style="fill-opacity:{0.4 + 0.6 * rate / highest:.2f}"' if rate > 0 else ""
            drawn.append(
                f'<rect class="{kind}"{shade} x="{left:.1f}" y="{21 + number * row}" width="{width - 1:.1f}" '
                f'height="{row - 2}"><title>{_escaped(name)}: {said} for {epochs} epochs</title></rect>'
            )
        left += width
    return _svg(drawn, "the stages that are trained in each phase", width=left + 4, height=26 + len(parts) * row)


def feature_map(dots: Sequence[Dot], side: int) -> Markup:
    """The images as dots, the nearer the more alike; a cross is answered wrongly. The image under
    the pointer is shown."""
    area, shown = 440, 2 * side
    drawn = [f'<rect class="frozen" x="{area + 16}" y="8" width="{shown}" height="{shown}"/>']
    for one in dots:
        x, y = 8 + one.x * (area - 16), 8 + (1 - one.y) * (area - 16)
        colour = f"c{one.colour}"
        mark = f'<circle class="{colour}" cx="{x:.0f}" cy="{y:.0f}" r="4"/>'
        if not one.is_right:
            mark = f'<path class="x {colour}" d="M{x - 4:.0f} {y - 4:.0f}l8 8m0 -8l-8 8"/>'
        image = ""
        if one.image:
            image = f'<image href="data:image/jpeg;base64,{one.image}" x="{area + 16}" y="8" width="{shown}" height="{shown}"/>'
        drawn.append(f"<g>{mark}{image}<title>{_escaped(one.title)}</title></g>")
    return _svg(drawn, "the images by their features; alike ones lie together", width=area + shown + 24, height=area)


def scatter(name: str, true: Sequence[float], answered: Sequence[float]) -> Markup:
    """The answers of one column by the true numbers; on the dotted diagonal both agree."""
    axis = Axis.over([*true, *answered])
    left, ticks = axis.room, list(zip(axis.ticks, axis.texts, strict=True))
    drawn = _frame(axis, f"{shortened(printable(name), NAME)}: answer", width=left + SIDE)
    drawn.append(f'<line class="best" x1="{left}" y1="{TOP + SIDE}" x2="{left + SIDE}" y2="{TOP}"/>')
    for one, other in zip(true, answered, strict=True):
        x, y = left + axis.share(one) * SIDE, TOP + (1 - axis.share(other)) * SIDE
        title = f"{number_text(one)}: {number_text(other)}"
        drawn.append(f'<circle class="c0" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{title}</title></circle>')
    for tick, text in (ticks[0], ticks[-1]):
        x = left + axis.share(tick) * SIDE
        drawn.append(f'<text text-anchor="middle" x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}">{text}</text>')
    drawn.append(f'<text x="{left}" y="{HEIGHT - 3}">true number</text>')
    beside = LETTER * len(ticks[-1][1]) / 2
    return _svg(drawn, f"{printable(name)}: answers by the true numbers", width=left + SIDE + max(RIGHT, beside))


def _frame(axis: Axis, unit: str, width: float = WIDTH - RIGHT) -> list[str]:
    """Lines and numbers of the vertical axis."""
    drawn = [f'<text x="4" y="{TOP - 6}">{_escaped(unit)}</text>']
    for tick, text in zip(axis.ticks, axis.texts, strict=True):
        y = TOP + (1 - axis.share(tick)) * SIDE
        drawn.append(f'<line class="grid" x1="{axis.room}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text text-anchor="end" x="{axis.room - 5}" y="{y + 4:.1f}">{text}</text>')
    return drawn


def _svg(drawn: Sequence[str], sentence: str, *, width: float = WIDTH, height: float = HEIGHT) -> Markup:
    label = _escaped(sentence)
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{1.4 * width:.0f}px"'
    return Markup(f'<svg {size} role="img" aria-label="{label}">{"".join(drawn)}</svg>')


def _escaped(text: str) -> str:
    return escape(isolated(printable(text)), quote=True)
