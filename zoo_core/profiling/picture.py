"""The stages of a network as an SVG file: boxes to scale, with their sizes in words.

The box of a stage is as wide as its channels, and as high and as deep as its cells. Its text is
text, so that it can be read aloud, and its colours follow the reader's light or dark pages. Every
name is escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib.resources import files

from zoo_core.errors import printable
from zoo_core.profiling.profile import Profile
from zoo_core.profiling.stages import Stage
from zoo_core.wording import human_count

TALLEST, LONGEST = 170.0, 420.0  # pixels: of the image, and of all channels of the stages together
SLANT = (0.42, 0.30)  # of a pixel of depth, to the right and up
COLUMN, GAP, LINE = 104.0, 16.0, 15  # pixels: the least width of a stage with its words, between two, of a line
THINNEST = 2.0  # pixels of a side that is too small to be seen
LETTERS = 15  # of a name
MARGIN = 16.0
NAMED = ' class="name"'


@dataclass(frozen=True)
class Box:
    """A box in the row: its size in pixels, its kind and its words."""

    length: float
    height: float
    depth: float
    kind: str
    lines: tuple[str, ...]
    title: str

    @property
    def width(self) -> float:
        """The width of its drawing and its words."""
        return max(COLUMN, self.length + SLANT[0] * self.depth)


def stages_svg(made: Profile, phase: int | None = None) -> str:
    """The picture of a profile; with a `phase` of its plan, counted from 0, its frozen and trained
    stages in colour."""
    boxes = _boxes(made, phase)
    top = MARGIN + 2 * LINE + max(box.height + SLANT[1] * box.depth for box in boxes)
    width = sum(box.width + GAP for box in boxes) - GAP + 2 * MARGIN
    height = top + LINE * max(len(box.lines) for box in boxes) + MARGIN + LINE
    left, drawn = MARGIN, []
    for box in boxes:
        drawn.append(_drawn(box, left, top))
        left += box.width + GAP
    backbone, stages = _text(made.backbone), len(made.stages)
    head = f"{backbone}: {stages} stage{'s' if stages != 1 else ''}, {human_count(_params(made))} parameters without a head"
    told = "A box is as wide as its channels, and as high and as deep as its cells; each of the two to its own scale."
    legend = "" if phase is None else " Orange is trained, grey is frozen."
    style = (files("zoo_core") / "resources" / "stages.css").read_text("utf-8")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img" '
        f'aria-labelledby="t d"><title id="t">{head}</title><desc id="d">{_described(made, phase)}</desc>'
        f"<style>{style}</style>"
        f'<rect class="ground" width="100%" height="100%"/><text class="name" x="{MARGIN}" y="{MARGIN + 6}">{head}</text>'
        f"{''.join(drawn)}"
        f'<text class="soft" x="{MARGIN}" y="{height - 8:.0f}">{told}{legend}</text></svg>\n'
    )


def _boxes(made: Profile, phase: int | None) -> list[Box]:
    channels, height, width = made.input
    cell = TALLEST / max(height, *(stage.height for stage in made.stages))
    channel = LONGEST / (channels + sum(stage.channels for stage in made.stages))
    trainable = None if phase is None else made.plan.trainable(made.plan.phases[phase])

    def box(kind: str, shape: tuple[int, int, int], lines: tuple[str, ...], title: str) -> Box:
        length, tall, deep = shape[0] * channel, shape[1] * cell, shape[2] * cell
        return Box(max(THINNEST, length), max(THINNEST, tall), max(THINNEST, deep), kind, lines, title)

    first = box("image", made.input, ("image", f"{channels} × {height} × {width}"), "the image")
    found = [first]
    for stage in made.stages:
        kind = "plain" if trainable is None else "trained" if stage.name in trainable else "frozen"
        lines = [_cut(stage.name), sizes_of(stage), f"{human_count(stage.params)} parameters"]
        if stage.macs is not None:
            lines.append(f"{human_count(stage.macs)} MACs")
        lines.append(f"sees {field_of(made, stage)}")
        if trainable is not None:
            lines.append(kind)
        found.append(box(kind, (stage.channels, stage.height, stage.width), tuple(lines), _text(stage.name)))
    return found


def sizes_of(stage: Stage) -> str:
    """The shape of a stage's output in words."""
    return " × ".join(map(str, stage.shape))


def field_of(made: Profile, stage: Stage) -> str:
    """The receptive field of a stage in words."""
    if stage.field is None:
        return "(not known)"
    if stage.field >= made.input[1:]:
        return "the whole image"
    return f"{stage.field[0]} × {stage.field[1]} px"


def _drawn(box: Box, left: float, top: float) -> str:
    x, y, dx, dy = left, top - box.height, SLANT[0] * box.depth, -SLANT[1] * box.depth
    right, bottom = x + box.length, top
    faces = (
        f'<path class="top" d="M{x:.1f} {y:.1f}l{dx:.1f} {dy:.1f}h{box.length:.1f}L{right:.1f} {y:.1f}z"/>'
        f'<path class="side" d="M{right:.1f} {y:.1f}l{dx:.1f} {dy:.1f}v{box.height:.1f}L{right:.1f} {bottom:.1f}z"/>'
        f'<path d="M{x:.1f} {y:.1f}h{box.length:.1f}v{box.height:.1f}h{-box.length:.1f}z"/>'
    )
    words = "".join(
        f'<text{NAMED if not number else ""} x="{left:.0f}" y="{top + LINE * (number + 1):.0f}">{line}</text>'
        for number, line in enumerate(box.lines)
    )
    return f'<g class="{box.kind}"><title>{box.title}</title>{faces}{words}</g>'


def _described(made: Profile, phase: int | None) -> str:
    """The picture in words, for those who do not see it."""
    trainable = () if phase is None else made.plan.trainable(made.plan.phases[phase])
    sentences = []
    for stage in made.stages:
        state = "" if phase is None else ", trained" if stage.name in trainable else ", frozen"
        macs = "" if stage.macs is None else f", {human_count(stage.macs)} multiply-accumulates"
        sentences.append(
            f"{_text(stage.name)}: {sizes_of(stage)}, {human_count(stage.params)} parameters{macs}, "
            f"a cell sees {field_of(made, stage)}{state}."
        )
    return " ".join(sentences)


def _params(made: Profile) -> int:
    return sum(stage.params for stage in made.stages)


def _text(text: str) -> str:
    return escape(printable(text))


def _cut(text: str) -> str:
    return _text(text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…")
