"""`zoo finetune`: fit a backbone and a head to your images."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zoo_core.cli.common import (
    BACKBONE,
    HEAD,
    STRATEGY,
    accuracy_text,
    announce,
    catalog_of,
    console,
    human_count,
    json_option,
    percent,
    print_json,
    progress_of,
    shown,
    table,
)
from zoo_core.config import FinetuneConfig

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from zoo_core.training.job import Job, Result
    from zoo_core.training.loop import EpochReport

MOST_KINDS = 6  # of ignored things that are told one by one

DEFAULTS = {name: p.default for name, p in inspect.signature(FinetuneConfig).parameters.items()}


def _option(name: str, help: str, **settings: Any) -> Callable[[F], F]:
    """An option named after a setting of FinetuneConfig, with that setting's default."""
    default = DEFAULTS[name]
    shown = default is not None and default is not inspect.Parameter.empty
    flag = f"--{name.replace('_', '-')}"
    if default is inspect.Parameter.empty:
        return click.option(flag, name, required=True, help=help, **settings)
    return click.option(flag, name, default=default, show_default=shown, help=help, **settings)


@click.command()
@_option("backbone", "What sees: a name from `zoo list`.", type=BACKBONE)
@_option("head", "What answers: a name from `zoo list heads`, with options (mlp:hidden=256+64).", type=HEAD)
@_option("strategy", "What learns: head-only, last:2, full ... (auto: head-only, from scratch full).", type=STRATEGY)
@_option("weights", "What to start from: a tag from `zoo info`, none, a .safetensors file or a run directory.")
@_option("data", "Your images: train/val/[test] folders of classes, or one folder of classes; or a bundled data set.")
@_option("epochs", "How often each image is seen.", type=int)
@_option("batch_size", "Images a step.", type=int)
@_option("lr", "Highest learning rate of the head.", type=float)
@_option("base_lr", "Share of it for the conv base (0.1 when pretrained, 0.2 from scratch).", type=float)
@_option("weight_decay", "Weight decay; norms and biases have none.", type=float)
@_option("warmup", "Share of all steps in which the learning rate rises.", type=float)
@_option("optimizer", "adamw or sgd (with Nesterov momentum 0.9).")
@_option("label_smoothing", "How far labels are softened.", type=float)
@_option("augment", "What varies the training images: crop-flip, flip or none.")
@_option("size", "Side of the square images in pixels (what the weights expect).", type=int)
@_option("val_share", "Share of each class that is held out when there is no val folder.", type=float)
@_option("bad_images", "Images that cannot be read: fail names them and stops, skip leaves them out.")
@_option("seed", "Decides the split, the head's first weights, order and augmentation.", type=int)
@_option("device", "auto, cpu, cuda or cuda:N.")
@_option("workers", "Threads that decode images (one a core).", type=int)
@_option("out", "The run directory to make (the next free one under ./runs).", type=click.Path())
@json_option
@click.pass_context
def finetune(ctx: click.Context, /, as_json: bool, **settings: Any) -> None:
    """Fit a backbone and a head to your images; make a run directory.

    \b
    zoo finetune --backbone lenet5
    zoo finetune --backbone resnet50 --data photos/
    zoo finetune --backbone vgg16 --strategy last:1 --head mlp:hidden=256 --data photos/ --epochs 20
    """
    config = FinetuneConfig(**settings)
    catalog = catalog_of(ctx)
    catalog.backbone(config.backbone)  # a wrong name is answered before the engine is loaded
    catalog.head(config.head)
    if config.strategy != "auto":
        catalog.strategy(config.strategy)
    screen = console(error=True)
    announce("loading the engine, the weights and the list of images")
    from zoo_core.training.job import prepare

    with progress_of("looking at the images") as watch:
        job = prepare(config, catalog, watch)
    show_job(screen, job)
    with _Progress(screen, job) as watcher:
        result = job.run(watcher)
    _show_result(screen, result)
    if as_json:
        print_json(_json(result))


def show_job(screen: Console, job: Job) -> None:
    """Say what will be done before it is done, and what was found out about the images."""
    from zoo_core.model.assemble import count_parameters
    from zoo_core.runs.card import plan_in_words

    parts = ", ".join(f"{len(part)} {name}" for name, part in job.source.parts.items())
    size, channels = job.preprocessing.size, job.preprocessing.channels
    start = f"{job.start.tag} ({job.start.local.source})" if job.start.local else "from scratch"
    rows = [
        ("backbone", f"{job.backbone} from {job.backbone.entry.distribution}, weights: {start}"),
        ("head", f"{job.head}, for {len(job.source.classes)} classes"),
        ("strategy", f"{job.strategy}. " + " Then ".join(plan_in_words(job.plan.to_dict()))),
        ("parameters", _parameters(job, count_parameters(job.model))),
        ("images", f"{parts}; {size} x {size}, {'greyscale' if channels == 1 else 'RGB'}, from {job.source.title}"),
        ("device", str(job.device)),
    ]
    if job.dropped:
        rows.insert(1, ("left out", ", ".join(job.dropped) + " (replaced by the head)"))
    if job.source.ignored:
        kinds = sorted(job.source.ignored.items(), key=lambda kind: -kind[1])
        told = [f"{count} {kind}" for kind, count in kinds[:MOST_KINDS]]
        rows.append(("ignored", ", ".join(told) + (" and others" if len(kinds) > MOST_KINDS else "")))
    if job.source.skipped:
        rows.append(("skipped", f"{job.source.skipped} that cannot be read"))
    rows += [("note", finding) for finding in job.findings]
    made = table("", "")
    made.show_header = False
    for name, text in rows:
        made.add_row(f"[bold]{name}[/bold]", shown(text))
    screen.print(made)


def _parameters(job: Job, total: int) -> str:
    counts = [job.learning_count(phase) for phase in range(len(job.plan.phases))]
    shares = [f"{human_count(count)} ({percent(count / total)})" for count in counts]
    return f"{human_count(total)}, of which learn {', then '.join(shares)}"


class _Progress:
    """A bar while an epoch runs, a line of the table when it is done."""

    def __init__(self, screen: Console, job: Job) -> None:
        self.screen = screen
        self.epochs = job.plan.epochs
        self.bar: Progress | None = None

    def __enter__(self) -> _Progress:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.screen.print(f"{'epoch':>7} {'train loss':>11} {'val loss':>9} {'val accuracy':>13} {'seconds':>8}")
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        self.bar = Progress(*columns, TimeRemainingColumn(), console=self.screen, transient=True)
        self.task = self.bar.add_task("training", total=None)
        self.bar.start()
        return self

    def __exit__(self, *failure: object) -> None:
        if self.bar:
            self.bar.stop()

    def step(self, epoch: int, step: int, steps: int) -> None:
        assert self.bar is not None
        done = (epoch - 1) * steps + step
        self.bar.update(
            self.task, total=self.epochs * steps, completed=done, description=f"epoch {epoch}/{self.epochs}"
        )

    def epoch(self, report: EpochReport) -> None:
        self.screen.print(
            f"{report.epoch:>7} {report.train_loss:>11.4f} {report.val_loss:>9.4f} "
            f"{percent(report.val_accuracy):>13} {report.seconds:>8.1f}"
        )


def _show_result(screen: Console, result: Result) -> None:
    evaluation = result.evaluation
    told = accuracy_text(evaluation.accuracy, evaluation.interval, evaluation.correct, evaluation.images)
    part = {"val": "validation", "test": "test"}.get(result.part, result.part)
    run = shown(result.directory)
    screen.print(f"\n[bold]Accuracy on the {part} images: {told}[/bold], best epoch {result.trained.best}.")
    screen.print(f"The run is in [bold]{run}[/bold]: card (README.md), curves.png, confusion.png, model.safetensors.\n")
    screen.print("Next:")
    commands = {
        f"zoo predict {run} IMAGE...": "classify images with it",
        f"zoo evaluate {run} --data DIR": "measure it on other images",
        f"zoo publish {run} OWNER/NAME": "put it on the Hub",
        "zoo list strategies": "what else could learn",
    }
    width = max(map(len, commands))
    for command, purpose in commands.items():
        screen.print(f"  {command:<{width}}   {purpose}")


def _json(result: Result) -> dict[str, Any]:
    from zoo_core.training.job import result_line

    epochs = [report.to_dict() for report in result.trained.epochs]
    return {"run": str(result.directory), "epochs": epochs, "result": result_line(result)}
