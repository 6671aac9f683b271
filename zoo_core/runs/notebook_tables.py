"""The tables by which a notebook shows runs, their results and their evaluations."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from zoo_core.html_tables import MOST_ROWS, html_table
from zoo_core.tasks import task_named
from zoo_core.tasks.chosen import result_figures
from zoo_core.wording import cell_text, duration, figure_text

if TYPE_CHECKING:
    from zoo_core.runs.schema import RunFacts

FEW = 12  # names of classes


class ShownRun:
    """A loaded run or backbone as a notebook shows it."""

    title: str
    classes: tuple[str, ...]
    preprocessing: Any
    facts: RunFacts | None

    def _repr_html_(self) -> str:
        more = f" and {len(self.classes) - FEW} more" if len(self.classes) > FEW else ""
        size = self.preprocessing.size
        rows = [("answers with", ", ".join(self.classes[:FEW]) + more), ("sees", f"{size} x {size} pixels")]
        if self.facts is not None:
            own = self.facts
            rows += [("backbone", own.backbone.name), ("head", own.config.head), ("strategy", own.config.strategy)]
            rows += [("images", ", ".join(f"{count} {part}" for part, count in own.data.images.items()))]
        return html_table(self.title, (), rows)


def result_html(result: Any) -> str:
    """A result: its headline, and a row for each epoch, or of many for some, the best one marked."""
    task, rows = task_named(result.task), []
    epochs, best = result.trained.epochs, result.trained.best
    step = 1 if len(epochs) <= MOST_ROWS else ceil(len(epochs) / (MOST_ROWS - 2))
    chosen = sorted({*range(0, len(epochs), step), best - epochs[0].epoch, len(epochs) - 1})
    for one in (epochs[place] for place in chosen):
        losses = f"{one.train_loss:.4f}", "-" if one.val_loss is None else f"{one.val_loss:.4f}"
        rows.append((str(one.epoch), *losses, figure_text(one.val_score), "* best" if one.epoch == best else ""))
    notes = [f"The run is in {result.directory}.", result.ending]
    title = "Trained on all images: no score."
    if result.measured is not None and result.baseline is not None:
        title = task.headline(result.measured, f"on the {result.part} images")
        notes = [*task.baseline_sentences(result_figures(result.measured), result.baseline), *notes]
    if step > 1:
        notes.append(f"One epoch in {step} is shown, and the best and the last.")
    notes.append(f"The training took {duration(sum(one.seconds for one in epochs))}.")
    return html_table(title, ("epoch", "train loss", "val loss", "val score", ""), rows, filter(None, notes))


def evaluation_html(measured: Any) -> str:
    """An evaluation: its headline, and a row for each class, label or number."""
    task = task_named(measured.task)
    rows = [task.screen_row(row) for row in measured.evaluation.by_output(measured.classes)]
    cells = [[cell_text(cell) for cell in row.values()] for row in rows]
    notes = task.baseline_sentences(result_figures(measured.evaluation), measured.baseline)
    title = task.headline(measured.evaluation, f"on {measured.title} ({measured.part})")
    return html_table(title, tuple(rows[0]), cells, notes)
