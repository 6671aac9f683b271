"""`zoo predict RUN|BACKBONE WHAT...`: the answers of a model for images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from zoo_core.cli.common import announce, catalog_of, console, progress_of, shown, table
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.left_out import raise_for_images
from zoo_core.errors import printable

if TYPE_CHECKING:
    from zoo_core.answering.files import AnswerFormat
    from zoo_core.tasks.prediction import Prediction
    from zoo_core.tasks.task import Task


@click.command()
@click.argument("model", metavar="RUN|BACKBONE")
@click.argument("what", nargs=-1, required=True, metavar="WHAT...")
@click.option(
    "--top", default=5, show_default=True, type=click.IntRange(min=1), help="How many classes to name for an image."
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Name only classes or labels above this probability (labels: the run's thresholds, classes: all).",
)
@click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Answer with the classes, or an interval of each number, that hold the true one for this share of new images.",
)
@click.option("--reject", is_flag=True, help="Give images unlike those of the training no answer: none of these.")
@click.option("--tta", is_flag=True, help="Answer with the mean of an image and its mirror image.")
@click.option("--all", "has_values", is_flag=True, help="In files and JSON: the probability of every class or label.")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the answers, .csv or .jsonl, a row for each image.",
)
@click.option("--weights", default="default", help="Which weights of a backbone (its first).")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, xpu or mps.")
@json_option
@click.pass_context
def predict(
    ctx: click.Context,
    model: str,
    what: tuple[str, ...],
    top: int,
    threshold: float | None,
    coverage: float | None,
    reject: bool,
    tta: bool,
    has_values: bool,
    out: Path | None,
    weights: str,
    device: str,
    as_json: bool,
) -> None:
    """Predict with a run, or classify with a pretrained backbone and its original classifier.

    WHAT is an image, a folder, a pattern in quotes, an http(s) address, or - for standard input. A
    run says the likeliest classes, the labels with a probability above their threshold, or the
    numbers that it was trained for. Images that cannot be read are named at the end, with exit code
    1; the others are answered.

    \b
    zoo predict runs/resnet50-head-only-photos-1 photo.jpg
    zoo predict efficientnet_lite0 photos/ "more/**/*.png" -o answers.csv
    curl -s https://example.org/cat.jpg | zoo predict efficientnet_lite0 - --json
    """
    from zoo_core.answering.files import AnswerFormat, check_target
    from zoo_core.answering.images import named_images

    if out is not None:
        check_target(out)
    images = named_images(what, lambda: getattr(sys.stdin, "buffer", None))
    catalog = catalog_of(ctx)
    announce("loading the model")
    from zoo_core.library import load

    predictor = load(model, weights=weights, device=device, catalog=catalog)
    task = predictor.objective.task
    for line in _without_effect(ctx, task):
        click.echo(line, err=True)
    if coverage is not None:
        predictor.objective.bounds(coverage)  # one that cannot be promised is refused before anything is read
    if reject:
        predictor.check_knows_strangers()
    made = AnswerFormat.of(predictor, top=top, has_values=has_values, has_coverage=coverage is not None)
    summary, kept = _Summary(), []
    with _writing(out, made) as write, progress_of("predicting") as watch:
        for one in predictor.predictions(
            images, top=top, threshold=threshold, tta=tta, coverage=coverage, reject=reject
        ):
            summary.add(one)
            write(one)
            if as_json or out is None:
                kept.append(one)
            watch(summary.images, len(images))
    if as_json:
        print_json({"model": model, "predictions": [made.to_dict(one) for one in kept]})
    elif out is not None:
        click.echo(f"Answers for {summary.answered} of {len(images)} images are in {printable(str(out))}.")
    elif summary.answered:
        _print_table(task, kept)
    summary.finish()


@contextmanager
def _writing(out: Path | None, made: AnswerFormat) -> Iterator[Callable[[Prediction], object]]:
    """A function that writes an answer to the file, where there is one."""
    from zoo_core.answering.files import answers_file, partial_of

    if out is None:
        yield lambda one: None
        return
    try:
        with answers_file(out, made) as write:
            yield write
    except BaseException:
        if partial_of(out).exists():
            click.echo(f"The answers so far are in {printable(str(partial_of(out)))}.", err=True)
        raise


def _without_effect(ctx: click.Context, task: Task[Any]) -> list[str]:
    """The sentences on options that are given and change nothing."""
    given = {
        name: ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        for name in ("top", "threshold", "has_values", "coverage")
    }
    lines = []
    if given["top"] and given["coverage"] and task.single_label:
        lines.append("--top has no effect: a set has as many classes as its coverage needs.")
    if given["top"] and not task.single_label:
        lines.append(f"--top has no effect: it limits classes, and this model answers with {task.outputs}.")
    if task.answers_with_all:
        named = [option for option, name in (("--threshold", "threshold"), ("--all", "has_values")) if given[name]]
        lines += [f"{option} has no effect: this model answers with all {task.outputs}." for option in named]
    return lines


def _print_table(task: Task[Any], predictions: list[Prediction]) -> None:
    made = table("image", task.output, task.answer, right=(task.answer,))
    for one in predictions:
        nothing = [("none of these" if one.is_stranger else "-", None)]
        for position, (name, answer) in enumerate(one.answers or nothing):
            image = shown(one.image) if position == 0 else ""
            text = "-" if answer is None else task.answer_text(answer)
            if one.intervals:
                text += " ({} to {})".format(*map(task.answer_text, one.intervals[position]))
            made.add_row(image, shown(name), text)
    console().print(made)


class _Summary:
    """The hints and the problems of predictions, for the end."""

    def __init__(self) -> None:
        self.images = 0
        self.doubtful = 0
        self.hint = ""
        self.problems: list[str] = []

    @property
    def answered(self) -> int:
        return self.images - len(self.problems)

    def add(self, one: Prediction) -> None:
        self.images += 1
        if one.problem:
            self.problems.append(one.problem)
        elif one.hint:
            self.hint = self.hint or f"{printable(one.image)}: {one.hint}."
            self.doubtful += 1

    def finish(self) -> None:
        """Print the first hint. Raises DataError where an image has no answer."""
        if self.doubtful:
            click.echo(self.hint, err=True)
        if self.doubtful > 1:
            click.echo(f"The same holds for {self.doubtful} of the {self.images} images.", err=True)
        raise_for_images(self.problems, self.images, "answer")
