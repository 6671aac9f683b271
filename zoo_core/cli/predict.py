"""`zoo predict RUN|BACKBONE WHAT...`: the answers of a model for images."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from zoo_core.cli.common import (
    announce,
    catalog_of,
    console,
    json_option,
    print_json,
    progress_of,
    shown,
    table,
)
from zoo_core.errors import DataError, printable

if TYPE_CHECKING:
    from zoo_core.answering.images import NamedImage
    from zoo_core.predict import Prediction, Predictor
    from zoo_core.tasks.task import Task

MOST_NAMED = 20  # images without an answer that are named


@click.command()
@click.argument("model", metavar="RUN|BACKBONE")
@click.argument("what", nargs=-1, required=True, metavar="WHAT...")
@click.option(
    "--top", default=5, show_default=True, type=click.IntRange(min=1), help="How many classes to name for an image."
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    help="Name only classes or labels above this probability (labels: 0.5, classes: all).",
)
@click.option("--tta", is_flag=True, help="Answer with the mean of an image and its mirror image.")
@click.option("--all", "has_values", is_flag=True, help="In files and JSON: the probability of every class or label.")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the answers, .csv or .jsonl, a row for each image.",
)
@click.option("--weights", default="default", help="Which weights of a backbone (its first).")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@json_option
@click.pass_context
def predict(
    ctx: click.Context,
    model: str,
    what: tuple[str, ...],
    top: int,
    threshold: float | None,
    tta: bool,
    has_values: bool,
    out: Path | None,
    weights: str,
    device: str,
    as_json: bool,
) -> None:
    """Predict with a run, or classify with a pretrained backbone and its original classifier.

    WHAT is an image, a folder, a pattern in quotes, an http(s) address, or - for standard input. A
    run says the likeliest classes, the labels with a probability above 0.5, or the numbers that it
    was trained for. Images that cannot be read are named at the end, with exit code 1; the others
    are answered.

    \b
    zoo predict runs/resnet50-head-only-photos-1 photo.jpg
    zoo predict efficientnet_lite0 photos/ "more/**/*.png" -o answers.csv
    curl -s https://example.org/cat.jpg | zoo predict efficientnet_lite0 - --json
    """
    from zoo_core.answering.files import AnswerFormat, answers_file, check_target

    if out is not None:
        check_target(out)
    catalog = catalog_of(ctx)
    announce("loading the model")
    from zoo_core.library import load

    predictor = load(model, weights=weights, device=device, catalog=catalog)
    task = predictor.objective.task
    for line in _without_effect(ctx, task):
        click.echo(line, err=True)
    made = AnswerFormat.of(predictor, top=top, has_values=has_values)
    told = _Told()
    with ExitStack() as stack:
        images = _images(what, stack)
        write = stack.enter_context(answers_file(out, made)) if out is not None else None
        predictions = _predictions(predictor, images, top=top, threshold=threshold, tta=tta)
        kept = []
        for one in predictions:
            told.add(one)
            if write is not None:
                write(one)
            if as_json or out is None:
                kept.append(one)
    if as_json:
        print_json({"model": model, "predictions": [made.to_dict(one) for one in kept]})
    elif out is None:
        if told.answered:
            _print_table(task, kept)
    else:
        click.echo(f"Answers for {told.answered} of {len(images)} images are in {printable(str(out))}.")
    told.tell(len(images))


def _images(what: tuple[str, ...], stack: ExitStack) -> list[NamedImage]:
    from zoo_core.answering.images import named_images

    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="zoo-predict-"))
    with progress_of("downloading") as watch:
        return named_images(what, Path(folder), sys.stdin.buffer, watch)


def _predictions(predictor: Predictor, images: list[NamedImage], **how: Any) -> Iterator[Prediction]:
    """The predictions of images in order, under the names that the user gave them."""
    from zoo_core.predict import Prediction

    paths = [image.path for image in images if image.problem is None]
    answered = predictor.predictions(paths, bad_images="skip", **how)
    with progress_of("predicting") as watch:
        for done, image in enumerate(images, 1):
            if image.problem is not None:
                yield Prediction(image.name, (), problem=image.problem)
            else:
                one = next(answered)
                # A downloaded image is known by its address, and not by the file that it became.
                problem = one.problem and one.problem.replace(printable(str(image.path)), printable(image.name), 1)
                yield replace(one, image=image.name, problem=problem)
            watch(done, len(images))


def _without_effect(ctx: click.Context, task: Task[Any]) -> list[str]:
    """The sentences on options that are given and change nothing."""
    given = {
        name: ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
        for name in ("top", "threshold", "has_values")
    }
    lines = []
    if given["top"] and not task.single_label:
        lines.append(f"--top has no effect: it limits classes, and this model answers with {task.outputs}.")
    if task.answers_with_all:
        named = [option for option, name in (("--threshold", "threshold"), ("--all", "has_values")) if given[name]]
        lines += [f"{option} has no effect: this model answers with all {task.outputs}." for option in named]
    return lines


def _print_table(task: Task[Any], predictions: list[Prediction]) -> None:
    made = table("image", task.output, task.answer, right=(task.answer,))
    for one in predictions:
        for position, (name, answer) in enumerate(one.answers or [("-", None)]):
            image = shown(one.image) if position == 0 else ""
            text = "-" if answer is None else task.answer_text(answer)
            made.add_row(image, shown(name), text)
    console().print(made)


class _Told:
    """The hints and the problems of predictions, to be told at the end."""

    def __init__(self) -> None:
        self.answered = 0
        self.doubtful = 0
        self.hint = ""
        self.problems: list[str] = []

    def add(self, one: Prediction) -> None:
        if one.problem:
            self.problems.append(one.problem)
            return
        self.answered += 1
        if one.hint:
            self.hint = self.hint or f"{printable(one.image)}: {one.hint}."
            self.doubtful += 1

    def tell(self, images: int) -> None:
        """Print the first hint. Raises DataError where an image has no answer."""
        if self.doubtful:
            click.echo(self.hint, err=True)
        if self.doubtful > 1:
            click.echo(f"So it is with {self.doubtful} of the {images} images.", err=True)
        if not self.problems:
            return
        if images == 1:
            raise DataError(self.problems[0])
        rest = [f"... and {len(self.problems) - MOST_NAMED} more"] if len(self.problems) > MOST_NAMED else []
        lines = "".join(f"\n  {line}" for line in [*self.problems[:MOST_NAMED], *rest])
        raise DataError(f"{len(self.problems)} of {images} images have no answer:{lines}")
