"""Makes the failure museum, or one of its exhibits on the screen.

    python benchmarks/museum.py                 # every exhibit, on the screen
    python benchmarks/museum.py stranger        # one of them
    python benchmarks/museum.py --docs docs     # docs/museum.md and docs/museum/*.png

They take 8 to 25 seconds each on one core, on the images that zoo brings along; `exhibits.py` has the mistakes.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np

import zoo_core
from exhibits import EXHIBITS
from museum_room import Exhibit, Room
from zoo_core.drawing import GROUND, INK, LINE, SOFT, Figure, save_figure

WIDTH, HEIGHT = 6.6, 2.0  # inches
TILE, GAP = 1.0, 0.1
WRONG, RIGHT = "#D55E00", "#0072B2"  # of Okabe and Ito, as in the other pictures

WORDS: dict[str, tuple[str, str, str]] = {
    "leakage": (
        "The same thing on both sides",
        "Six photos of each thing, such as the pictures of a burst, are dealt into training and validation by chance. "
        "The network recognises the things, and the figure counts that as knowledge of the class.",
        "zoo deals equal files together by itself, and with `--group-by` all photos of a thing. `zoo check` finds near-"
        "duplicates between parts. The figure on the held-out things is the one that new images will have.",
    ),
    "imbalance": (
        "One class that is nearly everything",
        "Of 21 images one is a shirt. Whoever always answers “other” is right nearly always, and finds no shirt.",
        "zoo notes the imbalance before the training, and puts the best answer that looks at no image beside every result. "
        "`--metric balanced-accuracy` counts each class alike; `--balance` trains for it.",
    ),
    "normalisation": (
        "Other numbers than the network learned from",
        "A program of one's own reads the image with another library and hands bytes from 0 to 255 to the network, less the "
        "same mean. Nothing fails; the answers are wrong.",
        "The normalisation belongs to the weights, and a run keeps it. `zoo predict` and `zoo_core.load` take images as they "
        "are, and refuse numbers that were normalised already:",
    ),
    "batch-norm": (
        "Batch normalisation left in training mode",
        "`eval()` was forgotten, and the images come folder by folder. Each batch is then normalised by itself, so that an "
        "image's answer depends on the images beside it.",
        "zoo answers in evaluation mode wherever it answers. In a training loop of your own, `zoo_core.freeze` keeps frozen "
        "batch norms still whatever `train()` says.",
    ),
    "centre-crop": (
        "The middle of the photo",
        "The photos are three times as wide as high, and the thing stands anywhere. Most networks see the middle square.",
        "`zoo check` names the images that lose most of their longer side, and `--fit pad` shows all of each. `zoo explain` "
        "draws an image as the network sees it.",
    ),
    "stranger": (
        "A stranger with 99 %",
        "The network knows five kinds of clothes, and is shown shoes and bags. It has no answer but its own classes.",
        "A run remembers where the features of its training images lie. Each prediction says how far away its image is, and "
        "`--reject` gives strangers no answer.",
    ),
}
"""The title of each exhibit, the mistake, and how zoo prevents it or says it."""

BEGIN = """# A museum of failures

Six ways to a figure that means nothing. Each exhibit makes the mistake on the images that zoo
brings along (Fashion-MNIST, copyright Zalando SE, MIT licence), with a head on the frozen
efficientnet_lite0 at 64 pixels, and shows the wrong figure beside the right one, with 95 %
intervals. They take 8 to 25 seconds each on one core.

```sh
python benchmarks/museum.py            # all of them, in a checkout
python benchmarks/museum.py stranger   # one of them
```
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Show what a mistake hides, on the bundled images.")
    parser.add_argument("exhibits", nargs="*", metavar="EXHIBIT", help=f"{', '.join(EXHIBITS)} (all)")
    parser.add_argument("--docs", type=Path, help="a folder for museum.md and its pictures")
    given = parser.parse_args()
    names = given.exhibits or list(EXHIBITS)
    unknown = [name for name in names if name not in EXHIBITS]
    if unknown:
        parser.error(f"there is no exhibit {', '.join(unknown)}. Exhibits: {', '.join(EXHIBITS)}.")
    if given.docs and given.exhibits:
        parser.error("--docs writes one page of all exhibits: name none of them.")
    sections = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["ZOO_CACHE"] = f"{folder}/cache"
            started = time.perf_counter()
            shown = EXHIBITS[name](Room(Path(folder)))
            seconds = time.perf_counter() - started
            print(f"{name} ({seconds:.0f} s)\n" + "\n".join(lines_of(shown)) + "\n", flush=True)
            if given.docs:
                draw(given.docs / "museum" / f"{name}.png", shown)
                sections.append(section(name, shown))
    if given.docs:
        (given.docs / "museum.md").write_text("\n".join([BEGIN, *sections, ending()]), encoding="utf-8")


def lines_of(shown: Exhibit) -> list[str]:
    """An exhibit for the screen."""
    lines = [f"  wrong: {shown.wrong.words}: {shown.wrong.text}", f"  right: {shown.right.words}: {shown.right.text}"]
    lines += [f"  {shown.more}"] if shown.more else []
    return lines + [f"  zoo says: {line}" for line in shown.said]


def section(name: str, shown: Exhibit) -> str:
    """An exhibit for the page."""
    title, mistake, prevented = WORDS[name]
    lines = [f"## {title}", "", wrapped(mistake), ""]
    both = f"{shown.wrong.words} {shown.wrong.text}, {shown.right.words} {shown.right.text}"
    lines += [f"![Wrong: {both}](museum/{name}.png)", "", "| | |", "|---|---|"]
    lines += [f"| wrong: {shown.wrong.words} | {shown.wrong.text} |"]
    lines += [f"| **right**: {shown.right.words} | **{shown.right.text}** |", ""]
    lines += [wrapped(f"{shown.more} {prevented}".strip()), ""]
    if shown.commands:
        lines += ["```sh", *shown.commands, "```", ""]
    if shown.said:
        lines += ["```", *shown.said, "```", ""]
    return "\n".join(lines)


def wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def ending() -> str:
    version = re.sub(r"\+.*", "", zoo_core.__version__)
    machine = "2 cores of an AMD EPYC (family 26, model 2, AVX-512)"
    made = "by `python benchmarks/museum.py --docs docs`, which writes this page."
    return wrapped(f"Measured on {time.strftime('%Y-%m-%d')} with zoo {version} on {machine} {made}") + "\n"


def draw(target: Path, shown: Exhibit) -> None:
    """The picture of an exhibit: some images, and both figures with their intervals."""
    figure = Figure(figsize=(WIDTH, HEIGHT), facecolor=GROUND)
    left = GAP
    for image, caption in shown.tiles:
        pixels = np.asarray(image.convert("L"))
        wide = TILE * min(2.0, pixels.shape[1] / pixels.shape[0])
        axes = figure.add_axes((left / WIDTH, 0.42, wide / WIDTH, TILE / HEIGHT))
        axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, aspect="auto" if wide > TILE else "equal")
        axes.set_axis_off()
        figure.text((left + wide / 2) / WIDTH, 0.3, caption, ha="center", size=7, color=SOFT, wrap=True)
        left += wide + GAP
    start = (left + 0.25) / WIDTH
    bars = figure.add_axes((start, 0.2, 0.97 - start, 0.7))
    for place, (one, colour, word) in enumerate(((shown.wrong, WRONG, "wrong"), (shown.right, RIGHT, "right"))):
        low, high = one.interval
        y = 1 - place
        bars.barh(y, 100 * one.share, height=0.34, color=colour)
        bars.plot([100 * low, 100 * high], [y, y], color=INK, linewidth=1.2)
        bars.text(0, y + 0.24, f"{word}: {one.words}", size=7.5, color=INK)
        bars.text(100 * high + 2, y, f"{100 * one.share:.1f} %", size=8, va="center", color=INK)
    bars.set(xlim=(0, 118), ylim=(-0.35, 1.55), yticks=[], xticks=[0, 50, 100], xticklabels=["0", "50", "100 %"])
    bars.tick_params(labelsize=7, colors=SOFT, length=2)
    for side, spine in bars.spines.items():
        spine.set(visible=side == "bottom", color=LINE)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, target)


if __name__ == "__main__":
    main()
