"""The command `zoo lesson [CHAPTER]`."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core import Catalog, UsageError, ZooError, open_catalog

if TYPE_CHECKING:
    from zoo_lesson.chapter import Chapter
    from zoo_lesson.lesson import Lesson
    from zoo_lesson.records import Told

BUNDLED = "fashion-small"
ALL = "all"
PAGE = "lesson.html"


@click.command()
@click.argument("chapter", required=False)
@click.option("--data", default=BUNDLED, show_default=True, help="Your photos, as for finetune.")
@click.option("--backbone", help="Pretrained network (the lightest with ImageNet weights on this machine).")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="lesson",
    show_default=True,
    help="Folder of the lesson: pictures, page, notebook, a sample of the photos, runs.",
)
@click.option("--no-ask", is_flag=True, help="Ask for no guess.")
@click.pass_context
def lesson(ctx: click.Context, chapter: str | None, data: str, backbone: str | None, out: Path, no_ask: bool) -> None:
    """Learn about convolutional networks in ten short chapters, measured on your own photos.

    CHAPTER is a number, or all; without it the chapters are listed. Each asks a question and for a
    guess, runs ordinary zoo commands, which it shows, draws a picture and says in a sentence what
    was measured. All of it stands on one page, lesson.html, and in a notebook. At most 900 of the
    photos are used, as small copies in the folder of the lesson.

    \b
    zoo lesson
    zoo lesson 3
    zoo lesson all --data photos/
    """
    from zoo_lesson.chapters import CHAPTERS

    if chapter is None:
        _list(CHAPTERS)
        return
    numbers = _numbers(chapter, len(CHAPTERS))
    asks = not no_ask and sys.stdin.isatty()
    catalog = open_catalog(with_plugins=(ctx.obj or {}).get("with_plugins", True))
    taught, told = _open(ctx, catalog, data, backbone, out)
    failed: dict[int, ZooError] = {}
    for number in numbers:
        try:
            _take(taught, told, number, CHAPTERS[number - 1], asks=asks)
        except ZooError as error:
            if len(numbers) == 1:
                raise
            failed[number] = error
            click.echo(f"Chapter {number} could not be measured: {error}\n")
    if told.chapters:
        _write_pages(out, told)
    if failed:
        raise ZooError(f"not measured: chapter {', '.join(map(str, failed))}. The reasons stand above.")


def _list(chapters: tuple[Chapter, ...]) -> None:
    for number, chapter in enumerate(chapters, 1):
        click.echo(f"{number:>2}  {chapter.title}\n    {chapter.question}")
    click.echo("\n`zoo lesson 1` takes one, `zoo lesson all` takes all; --data photos/ takes your own photos.")


def _numbers(text: str, count: int) -> list[int]:
    """The chapters that a text names."""
    if text == ALL:
        return list(range(1, count + 1))
    if text.isdecimal() and 1 <= int(text) <= count:
        return [int(text)]
    raise UsageError(f"there is no chapter {text!r}. Give a number from 1 to {count}, or all; `zoo lesson` lists them.")


def _open(ctx: click.Context, catalog: Catalog, data: str, backbone: str | None, out: Path) -> tuple[Lesson, Told]:
    """The lesson in a folder: begun, or gone on with if it is on the same photos with the same network."""
    from zoo_lesson import records
    from zoo_lesson.lesson import Lesson
    from zoo_lesson.networks import check_backbone, lightest
    from zoo_lesson.photos import Photos, take_photos

    group = ctx.find_root().command
    if not isinstance(group, click.Group):
        raise UsageError("the lesson runs commands of zoo: call it as `zoo lesson`.")
    told = records.read(out)
    if told is not None and (told.data != data or backbone not in (None, told.backbone)):
        raise UsageError(
            f"{str(out)!r} is the lesson on {told.data} with {told.backbone}. Give the same, another --out, or remove it."
        )
    if told is None:
        name = backbone or lightest(group)
        check_backbone(name, catalog)
        click.echo("copying a sample of the photos ...", err=True)
        photos = take_photos(data, out, catalog)
        sample = {key: getattr(photos, key) for key in ("classes", "train", "test", "unread")}
        told = records.Told(data=data, backbone=name, chapters={}, **sample)
        told.write(out)
    _describe(told)
    photos = Photos(out, tuple(told.classes), told.train, told.test, told.unread)
    return Lesson(out, photos, told.backbone, catalog, group), told


def _describe(told: Told) -> None:
    unread = f"; {told.unread} could not be read and were left out" if told.unread else ""
    click.echo(
        f"The lesson is on {told.data} with {told.backbone}: {told.train} photos to train on and {told.test} to measure "
        f"on, of {len(told.classes)} classes{unread}. Behind each figure stands its 95 % interval.\n"
    )


def _take(taught: Lesson, told: Told, number: int, chapter: Chapter, *, asks: bool) -> None:
    """Ask, measure, draw and record one chapter."""
    from zoo_core import save_figure
    from zoo_lesson.records import Record

    click.echo(f"{number}. {chapter.title}\n{chapter.question}")
    before = told.chapters.get(number)
    guess = _ask(chapter) if asks else before.guess if before else None
    started, taught.commands = time.monotonic(), []
    finding = chapter.measure(taught)
    picture = f"{number:02d}-{chapter.name}"
    for ending in (".png", ".svg"):
        save_figure(finding.figure, taught.folder / f"{picture}{ending}")
    record = Record(
        number=number,
        name=chapter.name,
        title=chapter.title,
        question=chapter.question,
        choices=chapter.choices,
        guess=guess,
        choice=finding.choice,
        commands=tuple(taught.commands),
        sentence=finding.sentence,
        explanation=chapter.explanation,
        picture=picture,
        alt=finding.alt,
        numbers=finding.numbers,
        seconds=round(time.monotonic() - started, 1),
    )
    told.chapters[number] = record
    told.write(taught.folder)
    click.echo(f"{finding.sentence}\n{record.verdict()}\nPicture: {taught.folder / picture}.png\n")


def _ask(chapter: Chapter) -> int | None:
    """The reader's guess; None where it is skipped."""
    for place, choice in enumerate(chapter.choices, 1):
        click.echo(f"  {place}  {choice}")
    while True:
        text = click.prompt(f"Your guess, 1 to {len(chapter.choices)} (Enter skips)", default="", show_default=False)
        if not text.strip():
            return None
        with suppress(ValueError):
            if 1 <= int(text) <= len(chapter.choices):
                return int(text) - 1


def _write_pages(out: Path, told: Told) -> None:
    """Write the page and the notebook of all chapters that were taken."""
    from zoo_lesson.notebook import NOTEBOOK, write_notebook
    from zoo_lesson.page import render
    from zoo_lesson.records import write_text

    write_text(out / PAGE, render(told, out))
    write_notebook(told, out)
    click.echo(f"The page is {out / PAGE}, the notebook {out / NOTEBOOK}; chapters in them: {len(told.chapters)}.")
