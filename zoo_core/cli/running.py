"""The screen of the commands that train: the job before it starts, its progress, its result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.catalog import open_catalog
from zoo_core.cli.common import announce, bar_on, catalog_of, console, progress_of, shown
from zoo_core.cli.job_table import show_job
from zoo_core.cli.json_answers import print_json
from zoo_core.cli.together import end_with_launcher, run_together
from zoo_core.devices.launched import is_distributed
from zoo_core.errors import UsageError
from zoo_core.paths import user_path
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.fields import settings_of
from zoo_core.wording import counted, duration, quoted, short_seconds

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from zoo_core.runs.epochs import EpochReport
    from zoo_core.tasks.metrics import Metric
    from zoo_core.training.job import Job
    from zoo_core.training.result import Result


def speaks() -> bool:
    """Whether this is the main process of those that train together: it alone prints."""
    return os.environ.get("RANK", "0") == "0"


devices_option = click.option(
    "--devices",
    type=click.IntRange(min=1),
    metavar="INTEGER",
    help="Train on so many GPUs together, or in so many processes on a CPU.",
)


def start_together(devices: int | None) -> None:
    """Run this command in so many processes instead, if more than one is asked for, and exit as they do."""
    if devices is not None and devices > 1 and not is_distributed():
        raise SystemExit(run_together(devices))
    end_with_launcher()


def resume_run(
    ctx: click.Context, run: str, given: dict[str, Any], *, as_json: bool, more_epochs: int | None = None
) -> None:
    """Resume a run, or train a finished one for more epochs. Raises UsageError for a setting that
    differs from the run's, unless it names a device of this machine, or trackers."""
    catalog = catalog_of(ctx)
    announce("loading the engine, the weights and the list of images")
    from zoo_core.runs.directory import read_facts
    from zoo_core.training.run import resume

    directory = user_path(run)
    config = read_facts(directory).config
    here: dict[str, Any] = {name: given.pop(name) for name in ("device", "track") if name in given}
    for name, value in given.items():
        own = getattr(config, name)
        if value != own:
            option = settings_of(FinetuneConfig)[name].option
            raise UsageError(
                f"the run {run} has --{option} {own} and cannot be resumed with {value}. Leave the option out."
            )
    with progress_of("inspecting the images") as scanning, watching() as callback:
        result = resume(
            directory, catalog, callback, callback.show, scanning, per_machine=here, more_epochs=more_epochs
        )
    report(result, as_json=as_json)


@contextmanager
def watching() -> Iterator[TrainingScreen]:
    """Show the progress of a training on standard error."""
    callback = TrainingScreen(console(error=True) if speaks() else None)
    try:
        yield callback
    finally:
        callback.close()


class TrainingScreen:
    """A bar while an epoch runs, and a line of a table at its end. Without a screen it shows nothing."""

    def __init__(self, screen: Console | None) -> None:
        self.screen = screen
        self.bar: Progress | None = None
        self.bar_task: Any = None
        self.epochs = 0
        self.metric: Metric | None = None
        self.has_header = False
        self.measured = ""

    def show(self, job: Job) -> None:
        """Show a job before its training."""
        from zoo_core.tasks import task_named

        self.epochs = job.plan.epochs
        self.metric = task_named(job.source.task).metric if job.metric is None else job.metric.shown
        if self.screen is not None:
            show_job(self.screen, job)

    def on_caching(self, done: int, total: int) -> None:
        self._move("caching features", done, total)
        if done == total:
            self.close()

    def on_loss(self, loss: float, lr: float, images_per_second: float) -> None:
        self.measured = f" loss {loss:.3g} lr {lr:.2g} {images_per_second:,.0f} images/s"

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        self._move(f"epoch {epoch}/{self.epochs}{self.measured}", (epoch - 1) * steps + step, self.epochs * steps)

    def on_epoch(self, report: EpochReport) -> None:
        if self.screen is not None and self.metric is not None:
            if not self.has_header:
                self.screen.print(
                    f"{'epoch':>7} {'train loss':>11} {'val loss':>9} {self.score_title} {'seconds':>8}  * best so far"
                )
                self.has_header = True
            loss = "-" if report.val_loss is None else f"{report.val_loss:.4f}"
            score = "-" if report.val_score is None else self.metric.text(report.val_score)
            seconds = short_seconds(report.seconds)
            score = score.rjust(len(self.score_title))
            mark = "  *" if report.is_best else ""
            self.screen.print(f"{report.epoch:>7} {report.train_loss:>11.4f} {loss:>9} {score} {seconds:>8}{mark}")

    @property
    def score_title(self) -> str:
        """The heading of the scores, as wide as its column."""
        return f"val {self.metric.short}".rjust(13) if self.metric else ""

    def message(self, text: str) -> None:
        if self.screen is not None:
            self.screen.print(text, markup=False)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def _move(self, name: str, done: int, total: int) -> None:
        if self.screen is None:
            return
        if self.bar is None:
            self.bar = bar_on(self.screen)
            self.bar_task = self.bar.add_task(name, total=total)
            self.bar.start()
        self.bar.update(self.bar_task, total=total, completed=done, description=name)


def report(result: Result, *, as_json: bool) -> None:
    """Show the result of a run, and print it as JSON if asked for."""
    if not speaks():
        return
    _show_result(console(error=True), result)
    if as_json:
        print_json(_json(result))


def _show_result(screen: Console, result: Result) -> None:
    from zoo_core.tasks import task_named
    from zoo_core.tasks.chosen import result_figures

    run = shown(_argument(result.directory))
    task = task_named(result.task)
    if result.measured is None or result.baseline is None:
        screen.print(f"\n[bold]Trained on all images: nothing is known of its {task.metric.title}[/bold].")
        screen.print(result.ending, markup=False)
    else:
        part = {"val": "validation"}.get(str(result.part), str(result.part))
        line = task.headline(result.evaluation, f"on the {part} images")
        screen.print(f"\n[bold]{line}[/bold].")
        screen.print(result.ending, markup=False)
        figures = result_figures(result.evaluation)
        for sentence in task.baseline_sentences(figures, result.baseline):
            screen.print(sentence, markup=False)
        if result.calibration is not None:
            screen.print(task.calibration_sentence(result.calibration), markup=False)
        if not task.beats(figures, result.baseline):
            screen.print(
                "More epochs, another --lr, pretrained weights or more trainable stages (--strategy) may help."
            )
    took = duration(sum(report.seconds for report in result.trained.epochs))
    screen.print(f"The training took {took} ({counted(len(result.trained.epochs), 'epoch')}).", markup=False)
    if result.forgotten is not None:
        from zoo_core.runs.started import forgotten_in_words

        screen.print(forgotten_in_words(result.forgotten.to_dict(), result.task), markup=False)
    pictures = ", ".join(sorted(path.name for path in result.directory.glob("*.png")))
    screen.print(f"The run is in [bold]{run}[/bold]: card (README.md), {pictures}, model.safetensors.\n")
    for tracked in result.trackers:
        if tracked.place is not None:
            screen.print(f"Tracked by {tracked.name}: {shown(tracked.place)}", markup=False)
    screen.print("Next:")
    named = quoted(_argument(result.directory))
    others = "" if result.measured is not None else " --data DIR"  # without images of its own that it did not train on
    commands = {
        f"zoo predict {named} IMAGE...": "predict images",
        f"zoo evaluate {named} --data DIR": "evaluate it on other images",
        f"zoo report {named}{others}": "see its errors, heat maps and doubtful labels on one page",
        f"zoo publish {named} OWNER/NAME": "publish it on the Hub",
        "zoo list strategies": "see other strategies",
    }
    width = max(map(len, commands))
    for command, purpose in commands.items():
        screen.print(f"  {command:<{width}}   {purpose}", markup=False)


def _argument(run: Path) -> str:
    """A run as commands take it: a bare name that is a backbone's too needs its folder."""
    from zoo_core.library import names_backbone

    shadowed = len(run.parts) == 1 and names_backbone(str(run), open_catalog())
    return f"./{run}" if shadowed else str(run)


def _json(result: Result) -> dict[str, Any]:
    from zoo_core.runs.directory import read_facts
    from zoo_core.training.finishing import result_line

    epochs = [report.to_dict() for report in result.trained.epochs]
    return {
        "run": str(result.directory),
        "settings": read_facts(result.directory).config.to_dict(),
        "epochs": epochs,
        "groups": result.groups or None,
        "result": result_line(result),
        "trackers": [one.to_dict() for one in result.trackers],
    }
