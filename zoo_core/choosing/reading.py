"""Reads the results of a grid's finished cells."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from zoo_core.choosing.folder import Folder
from zoo_core.choosing.grid import Cell, Grid
from zoo_core.choosing.results import CellResult, Results
from zoo_core.choosing.strangers import strangers
from zoo_core.data.sources import Source
from zoo_core.errors import ZooError, printable
from zoo_core.runs.answers import Answer, OutputAnswers, read_answers, read_output_answers
from zoo_core.runs.card import score_of
from zoo_core.runs.directory import MODEL, Run, read_result, read_run
from zoo_core.tasks import task_named

Answers = list[Answer] | OutputAnswers | None
Names = Iterable[tuple[str, str]]
"""Of images: each with its digest."""


def read_results(grid: Grid, folder: Folder, source: Source) -> Results:
    """Read every finished cell; `source` holds the images of today."""
    found, runs, damaged = [], [], []
    for cell in grid.cells:
        try:
            if folder.is_finished(cell):
                run = read_run(folder.directory(cell))
                found.append((_read(cell, run, folder), _answers(run)))
                runs.append((cell, run))
        except ZooError as error:
            damaged.append(f"{error} Remove {folder.directory(cell)} to train it anew.")
    shared = _shared_names(_named(answers) for _, answers in found)
    cells = tuple(_with_answers(one, answers, shared) for one, answers in found)
    return Results(grid, cells, (*damaged, *strangers(runs, source)), _groups(source, shared))


def _read(cell: Cell, run: Run, folder: Folder) -> CellResult:
    result, facts = read_result(run), run.facts
    return CellResult(
        cell=cell,
        task=facts.task,
        is_pretrained=facts.start is not None,
        score=score_of(result)[1],
        metric=task_named(facts.task).metric_of(result),
        score_interval=result.get("score_interval"),
        part=result["part"],
        images=result["images"],
        train_images=facts.data.images["train"],
        seconds=result.get("seconds", 0.0),
        trainable_parameters=folder.trainable_parameters(cell),
        model_bytes=(run.directory / MODEL).stat().st_size,
        baseline=(result.get("baseline") or {}).get("score"),
        notes=folder.notes(cell),
        right=None,
    )


def _groups(source: Source, shared: Collection[str]) -> dict[str, str] | None:
    """The group of each image by its name, as the results have it; None without groups."""
    grouped = [part for part in source.parts.values() if part.groups is not None]
    named = {
        (printable(part.images.name(index)), part.images.digest(index).hex()): group
        for part in grouped
        for index, group in enumerate(part.groups or ())
    }
    return {_key(*one, shared): group for one, group in named.items()} if grouped else None


def _answers(run: Run) -> Answers:
    read = read_answers if task_named(run.facts.task).single_label else read_output_answers
    return read(run.directory)


def _with_answers(one: CellResult, answers: Answers, shared: Collection[str]) -> CellResult:
    """A result with its answers, by the names of images."""
    names = _unambiguous(answers, shared)
    if isinstance(answers, OutputAnswers):
        return replace(one, outputs=replace(answers, images=names))
    if answers is None:
        return one
    return replace(one, right={name: own.is_right for name, own in zip(names, answers, strict=True)})


def _unambiguous(answers: Answers, shared: Collection[str]) -> tuple[str, ...]:
    """The names of the images; with their digests where several share one."""
    return tuple(_key(*one, shared) for one in _named(answers))


def _key(image: str, digest: str, shared: Collection[str]) -> str:
    return f"{image} {digest}" if image in shared else image


def _named(answers: Answers) -> Names:
    if isinstance(answers, OutputAnswers):
        return zip(answers.images, answers.digests, strict=True)
    return [(one.image, one.digest) for one in answers or ()]


def _shared_names(files: Iterable[Names]) -> set[str]:
    """The names that several images have, as in shards."""
    digests: dict[str, str] = {}
    return {
        image
        for names in files
        for image, digest in names
        if digest and digests.setdefault(image, digest) != digest  # notes the first image of a name
    }
