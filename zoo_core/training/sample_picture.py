"""A picture of some training images as the network sees them: evaluated, and in the first epochs."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

from zoo_core.data.batches import Batches
from zoo_core.data.transforms import CENTRE
from zoo_core.drawing import Figure, save_figure
from zoo_core.errors import printable
from zoo_core.frozen.caching import view_seen
from zoo_core.training.job import Job

IMAGES = 5
EPOCHS = 5
TILE = 1.45  # inches, so that the picture fits on a screen
CHARACTERS = 16  # of the heading, above each column


def draw_sample(target: Path, job: Job) -> None:
    """Draw images from all over the training part to a PNG file, a row each: the view of
    evaluation, then those that the first epochs of the training see."""
    part, settings = job.source.parts["train"], job.settings
    step = max(1, len(part) // IMAGES)
    indices = range(0, len(part), step)[:IMAGES]
    epochs = range(min(EPOCHS, job.plan.epochs))
    batches = Batches(part, job.preprocessing, 1, 1, job.augmentation)
    seen = [
        [CENTRE, *(view_seen(epoch, index, job.caching.views, settings.seed) for epoch in epochs)] for index in indices
    ]
    figure = Figure(figsize=(TILE * len(seen[0]), TILE * len(seen) + 0.6), layout="constrained")
    grid = figure.subplots(len(seen), len(seen[0]), squeeze=False)
    for index, views, row in zip(indices, seen, grid, strict=True):
        pixels_VHWC = batches.load_batch([(index, view) for view in views]).permute(0, 2, 3, 1).numpy()
        for pixels_HWC, axes in zip(pixels_VHWC, row, strict=True):
            axes.imshow(pixels_HWC, cmap="gray", vmin=0, vmax=255)
            axes.set_axis_off()
    for title, axes in zip(["evaluation", *(f"epoch {1 + epoch}" for epoch in epochs)], grid[0], strict=True):
        axes.set_title(title, size=9)
    heading = fill(printable(job.augmentation.text), CHARACTERS * len(seen[0]))
    figure.suptitle(f"augmentation {heading}", size=11, parse_math=False)
    save_figure(figure, target)
