"""The screen of `zoo compare`: a line for each training while they run, then the table and the
answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zoo_core.choosing.commands import command
from zoo_core.choosing.grid import Candidate, Cell, Grid, settings_asked
from zoo_core.cli.cells import CellsScreen
from zoo_core.cli.common import print_columns, warn
from zoo_core.errors import printable
from zoo_core.wording import counted, human_count, megabytes, quoted, short_seconds

if TYPE_CHECKING:
    from zoo_core.choosing.comparison import Comparison, Difference, Level, WithoutPretraining
    from zoo_core.choosing.folder import Folder
    from zoo_core.data.sources import Source
    from zoo_core.tasks.metrics import Metric

PARTS = {"val": "validation"}
"""The names of parts in sentences, where they differ from those in JSON."""


_TRAININGS = ", without the variation of trainings, which --seeds 3 measures"
"""For an interval from one training of each candidate."""


class CellScreen(CellsScreen):
    """Shows the trainings of a grid on standard error."""

    def __init__(self, grid: Grid, folder: Folder, source: Source) -> None:
        super().__init__()
        self.grid, self.folder, self.source = grid, folder, source

    def __enter__(self) -> CellScreen:
        from zoo_core.data.arrange import arranged
        from zoo_core.data.findings import findings

        grid, total = self.grid, len(self.grid.cells)
        sizes = {"candidate": grid.candidates, "seed": grid.seeds, "fraction": grid.shares}
        counts = [f"{len(own)} {word}{'s' if len(own) > 1 else ''}" for word, own in sizes.items()]
        counts += [f"{grid.folds} folds"] if grid.folds else []
        self.message(f"{total} trainings: {' x '.join(counts)}; in {self.folder.root}")
        for finding in findings(arranged(self.source, grid.cells[0].config)):
            self.message(f"note: {finding}")
        return self

    def title(self, cell: Cell) -> str:
        return self.grid.title(cell)

    def place(self, cell: Cell) -> str:
        cells = self.grid.cells
        return f"{cells.index(cell) + 1:>{len(str(len(cells)))}}/{len(cells)}"


def show_comparison(comparison: Comparison, *, drawn: bool = True) -> None:
    """Print the table, the answers and the next step to standard output; the picture is named if it
    was drawn."""
    results, metric = comparison.results, comparison.results.metric
    if metric is None:
        return
    click.echo()
    if results.largest[0].share != results.grid.shares[-1]:
        click.echo(f"With {100 * results.largest[0].share:g} % of the images, the largest share that is trained:")
    click.echo(f"On the {PARTS.get(results.largest[0].part, results.largest[0].part)} images:")
    _show_rows(comparison, metric)
    for sentence in _baseline_sentences(comparison, metric):
        click.echo(sentence)
    if len(results.grid.shares) > 1:
        click.echo()
        _show_curves(comparison, metric)
    sentences = [*_difference_sentences(comparison, metric), *_level_sentences(comparison, metric)]
    for sentence in sentences:
        click.echo("\n" + "\n".join(printable(line) for line in sentence.split("\n")))
    click.echo()
    warn(comparison.notes)
    warn(f"failed: {one.title}: {one.reason}" for one in comparison.failures)
    folder = quoted(comparison.directory)
    files = "compare.png, compare.json" if drawn else "compare.json"
    click.echo(f"In {printable(folder)}: {files}, and a run for each training (`zoo runs {folder}`).")
    if results.grid.folds and results.largest[0].share == results.grid.shares[-1]:
        chosen, which = _chosen(comparison)
        click.echo(f"{which}, without a fold: `{_finetune_command(comparison, chosen)}`")


def _baseline_sentences(comparison: Comparison, metric: Metric) -> list[str]:
    """The baseline, and a warning where the best candidate does not beat it."""
    from zoo_core.tasks import task_named

    best, task = comparison.results.largest[0], comparison.results.task
    if best.baseline is None or task is None:
        return []
    constant = f"Baseline: {metric.text(best.baseline)} ({task_named(task).constant_answer} for every image)."
    if metric.gain(best.score) > metric.gain(best.baseline):
        return [constant]
    return [f"{constant} The best does not beat it: it is no better than an answer that never looks at the image."]


def _show_rows(comparison: Comparison, metric: Metric) -> None:
    """The candidates with the largest share of the images, the best first."""
    results = comparison.results
    rows, axes = results.largest, results.grid.axes or ("backbone",)
    cells: dict[str, list[str]] = {axis: [row.candidate.words(axis) for row in rows] for axis in axes}
    cells[metric.short] = [metric.text(row.score) for row in rows]
    if any(row.interval is not None for row in rows):
        cells["95 % interval"] = [metric.interval_text(row.interval) if row.interval else "-" for row in rows]
    if any(row.spread is not None for row in rows):
        cells["± seeds"] = ["-" if row.spread is None else _points(metric, row.spread) for row in rows]
    cells["images"] = [f"{row.images:,}" for row in rows]
    if not all(row.is_complete for row in rows):
        cells["trainings"] = [f"{row.trainings} of {row.planned}" for row in rows]
    cells["seconds"] = [short_seconds(row.seconds) for row in rows]
    cells["trained"] = [human_count(row.trainable_parameters) for row in rows]
    cells["size"] = [megabytes(row.model_bytes) for row in rows]
    lines = [list(line) for line in zip(*cells.values(), strict=True)]
    print_columns(tuple(cells), lines, right=set(cells) - {*axes, "95 % interval"})


def _show_curves(comparison: Comparison, metric: Metric) -> None:
    """The score of each candidate by the number of training images."""
    results = comparison.results
    sizes: dict[float, int] = {row.share: row.train_images for row in results.rows}
    names = [f"{sizes[share]:,}" for share in results.grid.shares if share in sizes]
    scores = {(row.candidate, row.share): metric.text(row.score) for row in results.rows}
    order = dict.fromkeys(row.candidate for row in (*results.largest, *results.rows))
    lines = [
        [
            one.title(results.grid.axes),
            *(scores.get((one, share), "-") for share in results.grid.shares if share in sizes),
        ]
        for one in order
    ]
    click.echo(f"{metric.title[:1].upper()}{metric.title[1:]} by the number of training images:")
    print_columns(("", *names), lines, right=names)


def _difference_sentences(comparison: Comparison, metric: Metric) -> list[str]:
    difference, grid = comparison.difference, comparison.results.grid
    if difference is None:
        return []
    first, second = (_in_sentence(one.title(grid.axes)) for one in (difference.first, difference.second))
    low, high = (_points(metric, end) for end in difference.interval)
    unit = "points" if metric.unit == "%" else f"of {metric.unit}"
    figures = f"{_points(metric, difference.difference)} {unit}, 95 % interval {low} to {high}"
    figures += _TRAININGS if len(grid.seeds) == 1 else ""
    groups = "" if difference.groups is None else f" in {counted(difference.groups, 'group')}"
    figures += f"; {_test(comparison)} the same {difference.images:,} images{groups}: p {_p(difference)}"
    if difference.differ:
        return [f"{first} is better than the next, {second}: {figures}."]
    more = "" if grid.folds else " --folds measures more of your images."
    return [f"{first} and {second} cannot be told apart: {figures}. Take the cheaper one.{more}"]


def _test(comparison: Comparison) -> str:
    """The test that gave p."""
    from zoo_core.tasks import task_named

    task, seeds = comparison.results.task, comparison.results.grid.seeds
    if task is not None and not task_named(task).single_label:
        return "bootstrap over"
    if comparison.results.groups is not None:
        return "exact test that flips whole groups on"
    return "McNemar's exact test on" if len(seeds) == 1 else "exact sign test over images on"


def _level_sentences(comparison: Comparison, metric: Metric) -> list[str]:
    without, grid = comparison.without_pretraining, comparison.results.grid
    if without is None:
        return []
    names = [_in_sentence(one.title(grid.axes)) for one in (without.pretrained, without.from_scratch)]
    lines = [f"Without pretraining ({names[1]}) you would need, to be as good as {names[0]}"]
    width = max(len(f"{level.train_images:,}") for level in without.levels)
    for level in without.levels:
        with_images = f"  with {level.train_images:>{width},} training images ({metric.text(level.score)}): "
        lines.append(with_images + _needed(without, level))
    lines += [f"  The intervals are those of the images{_TRAININGS}."] if len(grid.seeds) == 1 else []
    return ["\n".join(lines)]


def _chosen(comparison: Comparison) -> tuple[Candidate, str]:
    """The candidate to train, and which one it is: of two that cannot be told apart the smaller."""
    rows, difference = comparison.results.largest, comparison.difference
    if difference is None or difference.differ:
        return rows[0].candidate, "The best"
    alike = [row for row in rows if row.candidate in (difference.first, difference.second)]
    cheaper = min(alike, key=lambda row: (row.model_bytes, row.trainable_parameters or 0, row.seconds))
    return cheaper.candidate, "The cheaper one"


def _finetune_command(comparison: Comparison, chosen: Candidate) -> str:
    """The command that trains a candidate without a fold."""
    config = next(cell.config for cell in comparison.results.grid.cells if cell.candidate == chosen)
    ours = ("seed", "fold", "train_share", "cache_dtype")
    return command("finetune", {name: value for name, value in settings_asked(config).items() if name not in ours})


def _needed(without: WithoutPretraining, level: Level) -> str:
    """The images from scratch with their interval, and honest words beyond the measured ones."""
    from zoo_core.choosing.picture import about

    def end(number: float | None) -> str:
        if number is None:
            return f"more than {without.most:,}"
        return f"{about(number):,}" if number else f"fewer than {without.fewest:,}"

    low, high = level.interval
    beyond = "; more were not measured" if level.needed is None else ""
    best = end(level.needed) if not level.needed else f"about {end(level.needed)}"
    return f"{best} (95 % interval {end(low)} to {end(high)}){beyond}" if low != high else f"{best}{beyond}"


def _in_sentence(title: str) -> str:
    """A candidate's title, in quotes where its commas would be those of the sentence."""
    return f"'{title}'" if "," in title else title


def _points(metric: Metric, score: float) -> str:
    return f"{metric.factor * score:.{metric.decimals}f}"


def _p(difference: Difference) -> str:
    return "< 0.001" if difference.p < 0.001 else f"= {difference.p:.2g}"
