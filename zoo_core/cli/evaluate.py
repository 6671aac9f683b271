"""`zoo evaluate RUN`: measure a run on labelled images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.common import announce, catalog_of, console, progress_of, shown, table, warn
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.left_out import bad_images_option
from zoo_core.errors import printable
from zoo_core.wording import cell_text, figure_text

if TYPE_CHECKING:
    from zoo_core.evaluation import RunEvaluation
    from zoo_core.settings import BadImages


@click.command()
@click.argument("run", type=click.Path())
@click.option("--data", help="Labelled images, as for finetune (the run's own data, its held-out part).")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, xpu or mps.")
@bad_images_option
@click.option(
    "--metric", "metrics", multiple=True, help="One more figure, NAME or NAME:options; `zoo list metrics` shows all."
)
@json_option
@click.pass_context
def evaluate(
    ctx: click.Context,
    run: str,
    data: str | None,
    device: str,
    bad_images: BadImages | None,
    metrics: tuple[str, ...],
    as_json: bool,
) -> None:
    """Evaluate a run on labelled images.

    Classes: accuracy with its interval, and how well each class is found. Labels: average precision and F1. Numbers:
    root mean squared error, mean absolute error and R2.

    Without --data: the part of the run's own data that was held out (test, else val). With --data: all images of the
    folder or CSV file, or its test (else val) part when it has parts.

    \b
    zoo evaluate runs/lenet5-head-only-1
    zoo evaluate runs/resnet50-head-only-photos-1 --data other-photos/ --json
    zoo evaluate runs/resnet50-head-only-photos-1 --metric balanced-accuracy
    """
    catalog = catalog_of(ctx)
    announce("loading the model")
    from zoo_core.evaluation import evaluate_run
    from zoo_core.tasks import task_named
    from zoo_core.tasks.chosen import result_figures

    with progress_of("looking at the images") as scanning, progress_of("measuring") as watch:
        measured = evaluate_run(
            run,
            data=data,
            device=device,
            bad_images=bad_images,
            metrics=metrics,
            catalog=catalog,
            scanning=scanning,
            watch=watch,
        )
    warn([measured.note] if measured.note else [])
    rows = measured.evaluation.by_output(measured.classes)
    if as_json:
        print_json(_json(run, measured, rows))
        return
    task = task_named(measured.task)
    out = console()
    for sentence in _overlap_sentences(measured):
        out.print(sentence, markup=False)
    if measured.skipped:
        out.print(f"{measured.skipped} images that cannot be read were left out.")
    screen_rows = [task.screen_row(row) for row in rows]
    name, *figures = screen_rows[0]
    made = table(name, *figures, right=tuple(figures))
    for row in screen_rows:
        made.add_row(shown(row[name]), *(cell_text(row[figure]) for figure in figures))
    out.print(made)
    out.print(task.headline(measured.evaluation, f"on {shown(measured.title)} ({measured.part})"))
    for sentence in task.confusions(measured.evaluation, measured.classes):
        out.print(sentence, markup=False)
    for sentence in task.baseline_sentences(result_figures(measured.evaluation), measured.baseline):
        out.print(sentence, markup=False)
    if measured.calibration is not None:
        fitted = measured.calibration["temperature"]
        by = "the network's own probabilities" if fitted == 1 else f"the run's temperature {fitted:.3g}"
        out.print(f"Expected calibration error with {by}: {100 * measured.calibration['ece']:.1f} %.", markup=False)
    for name, figure in measured.metrics.items():
        out.print(f"{printable(name)}: {figure_text(figure)}", markup=False)


def _overlap_sentences(measured: RunEvaluation) -> list[str]:
    """The images that are not new to the run, and the figure on the others: the first thing to know."""
    from zoo_core.tasks import task_named

    overlap, images = measured.overlap, measured.evaluation.images
    if overlap is None:
        return ["This run has no record of its images: zoo cannot tell whether it was trained on some of these images."]
    if not overlap.known:
        return []
    kinds = {"this run was trained on": overlap.train, "that chose its best epoch": overlap.val}
    told = [f"those {kind}" for kind, count in kinds.items() if count]
    counts = [count for count in kinds.values() if count]
    known = f"{counts[0]} of {images} images are {told[0]}"
    known += f", and {counts[1]} {told[1]}" if len(told) > 1 else ""
    if overlap.others is None:
        return [f"{known}: none is new to it, and the figures below say nothing of new images."]
    return [f"{known}. {task_named(measured.task).headline(overlap.others, f'on the other {overlap.others.images}')}."]


def _json(run: str, measured: RunEvaluation, rows: list[dict[str, Any]]) -> dict[str, Any]:
    from zoo_core.tasks import task_named
    from zoo_core.tasks.chosen import result_figures

    return {
        "run": run,
        "overlap": _overlap_json(measured),
        "data": measured.title,
        "part": measured.part,
        "skipped": measured.skipped,
        "metrics": dict(measured.metrics),
        "calibration": measured.calibration,
        "baseline": measured.baseline.to_dict(),
        task_named(measured.task).outputs: rows,
        **result_figures(measured.evaluation),
    }


def _overlap_json(measured: RunEvaluation) -> dict[str, Any] | None:
    from zoo_core.tasks.chosen import result_figures

    overlap = measured.overlap
    if overlap is None:
        return None
    others = overlap.others
    figures = others and result_figures(others)
    return {"train": overlap.train, "val": overlap.val, "others": figures}
