"""`zoo evaluate RUN`: measure a run on labelled images."""

from __future__ import annotations

from typing import Any

import click

from zoo_core.cli.common import (
    accuracy_text,
    announce,
    catalog_of,
    console,
    json_option,
    percent,
    print_json,
    progress_of,
    shown,
    table,
)


@click.command()
@click.argument("run", type=click.Path())
@click.option("--data", help="Labelled images, as for finetune (the run's own data, its held-out part).")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@json_option
@click.pass_context
def evaluate(ctx: click.Context, run: str, data: str | None, device: str, as_json: bool) -> None:
    """Measure a run on labelled images: accuracy with its interval, and how well each class is found.

    Without --data: the part of the run's own data that was held out (test, else val). With --data: all images of the
    folder, or its test (else val) part when it has parts.

    \b
    zoo evaluate runs/lenet5-head-only-1
    zoo evaluate runs/resnet50-head-only-1 --data other-photos/ --json
    """
    catalog = catalog_of(ctx)
    announce("loading the model")
    from zoo_core.evaluation import evaluate_run

    with progress_of("classifying") as watch:
        measured = evaluate_run(run, data=data, device=device, catalog=catalog, watch=watch)
    evaluation = measured.evaluation
    classes: list[dict[str, Any]] = [
        {"class": name, "found": int(row[index]), "images": int(row.sum())}
        for index, (name, row) in enumerate(zip(measured.classes, evaluation.confusion, strict=True))
    ]
    if as_json:
        print_json(_json(run, measured, classes))
        return
    out = console()
    made = table("class", "found", "images", "share", right=("found", "images", "share"))
    for row in classes:
        share = percent(row["found"] / row["images"]) if row["images"] else "-"
        made.add_row(shown(row["class"]), str(row["found"]), str(row["images"]), share)
    out.print(made)
    told = accuracy_text(evaluation.accuracy, evaluation.interval, evaluation.correct, evaluation.images)
    out.print(f"Accuracy on {shown(measured.title)} ({measured.part}): {told}")


def _json(run: str, measured: Any, classes: list[dict[str, Any]]) -> dict[str, Any]:
    evaluation = measured.evaluation
    return {
        "run": run,
        "data": measured.title,
        "part": measured.part,
        "images": evaluation.images,
        "correct": evaluation.correct,
        "accuracy": evaluation.accuracy,
        "interval": list(evaluation.interval),
        "loss": evaluation.loss,
        "classes": classes,
        "confusion": evaluation.confusion.tolist(),
    }
