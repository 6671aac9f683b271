"""`zoo finetune`: fit a backbone and a head to your images."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import click

from zoo_core.cli.common import BACKBONE, HEAD, STRATEGY, announce, catalog_of, json_option, progress_of
from zoo_core.cli.running import devices_option, report, resume_run, start_together, watching
from zoo_core.settings import FinetuneConfig

F = TypeVar("F", bound=Callable[..., Any])

DEFAULTS = {name: p.default for name, p in inspect.signature(FinetuneConfig).parameters.items()}


class OrAuto(click.ParamType[Any]):
    """A number, or "auto"."""

    def __init__(self, number: click.ParamType[Any]) -> None:
        self.number = number
        self.name = f"{number.name}|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "auto" else self.number.convert(value, param, ctx)


def _option(name: str, help: str, **settings: Any) -> Callable[[F], F]:
    """An option named after a setting of FinetuneConfig, with that setting's default."""
    default = DEFAULTS[name]
    shown = default is not None and default is not inspect.Parameter.empty
    flag = f"--{name.replace('_', '-')}"
    if default is inspect.Parameter.empty:
        return click.option(flag, name, required=True, help=help, **settings)
    return click.option(flag, name, default=default, show_default=shown, help=help, **settings)


@click.command()
@click.option("--backbone", type=BACKBONE, help="What sees: a name from `zoo list`.  [required]")
@_option("head", "What answers: a name from `zoo list heads`, with options (mlp:hidden=256+64).", type=HEAD)
@_option(
    "strategy",
    "What learns: head-only, last:2, full ... (auto: head-only, or full with very many images).",
    type=STRATEGY,
)
@_option("weights", "What to start from: a tag from `zoo info`, none, a .safetensors file or a run directory.")
@_option(
    "data",
    "Your images: a folder of classes, or train/val/[test] folders of such; a CSV file with a column 'path' and one of "
    "classes, of labels joined by '|', or columns of 0 and 1, or of numbers; 'wds:SHARDS-{000..010}.tar', here or behind "
    "an address; hf:OWNER/NAME[:streaming=yes] of the Hub; or a bundled data set.",
)
@_option("task", "classification, multilabel or regression (auto: what the data say).")
@_option("epochs", "How often each image is seen (30 where an epoch costs next to nothing, else 10).", type=int)
@_option("batch_size", "Images a step; auto finds the fastest that a GPU holds.", type=OrAuto(click.INT))
@_option("lr", "Highest learning rate of the head; auto finds one by a range test.", type=OrAuto(click.FLOAT))
@_option("base_lr", "Share of it for the conv base (0.1, or 0.2 from scratch and with very many images).", type=float)
@_option("weight_decay", "Weight decay; norms and biases have none.", type=float)
@_option("warmup", "Share of all steps in which the learning rate rises.", type=float)
@_option("optimizer", "adamw or sgd (with Nesterov momentum 0.9).")
@_option("label_smoothing", "How far labels are softened.", type=float)
@_option("mixup", "Alpha by which pairs of images are blended (0: not).", type=float)
@_option("cutmix", "Alpha by which boxes of one image are pasted into another (0: not).", type=float)
@_option("l2_sp", "How strongly the base is pulled back to its start, in place of its weight decay.", type=float)
@_option("ema", "Decay of averaged weights, which are kept instead of the last ones (0: none).", type=float)
@_option("augment", "What varies the training images: crop-flip, flip or none (auto: small ones are flipped only).")
@_option("views", "Variants of each image where features of the frozen part are kept (0: keep nothing).", type=int)
@_option("cache_gb", "Gigabytes of features and images that may be kept in the cache folder.", type=float)
@_option("cache_dtype", "How features are kept: float16, bfloat16 or float32.")
@_option("patience", "Epochs without a better one after which a phase of the plan ends.", type=int)
@_option("size", "Side of the square images in pixels (what the weights expect).", type=int)
@_option("val_share", "Share of each class that is held out when there is no val folder.", type=float)
@_option("bad_images", "Images that cannot be read: fail names them and stops, skip leaves them out.")
@_option("seed", "Decides the split, the head's first weights, order and augmentation.", type=int)
@_option("device", "auto, cpu, cuda or cuda:N.")
@_option("workers", "Threads that decode images (one a core).", type=int)
@_option("micro_batch", "Images of a batch that go through the network together (fewer take less memory).", type=int)
@_option(
    "gradient_checkpointing",
    "Compute what the stages give twice rather than keep it: less memory, more time, the same result.",
    is_flag=True,
)
@_option("precision", "float32 or bfloat16 (auto: bfloat16 on a GPU that supports it, float32 on a CPU).")
@_option("compile", "Compile what learns: on, off (auto: on where it saves more time than it takes).")
@_option("save_every", "Seconds between two checkpoints.", type=float)
@_option("out", "The run directory to make (the next free one under ./runs).", type=click.Path())
@click.option("--resume", "run", type=click.Path(), help="Go on with a run that was interrupted (as `zoo resume RUN`).")
@devices_option
@json_option
@click.pass_context
def finetune(ctx: click.Context, /, run: str | None, devices: int | None, as_json: bool, **settings: Any) -> None:
    """Fit a backbone and a head to your images; make a run directory.

    \b
    zoo finetune --backbone lenet5
    zoo finetune --backbone resnet50 --data photos/
    zoo finetune --backbone resnet18 --data photos.csv --task regression
    zoo finetune --backbone vgg16 --strategy last:1 --head mlp:hidden=256 --data photos/ --epochs 20
    """
    start_together(devices)
    given = {name: value for name, value in settings.items() if _was_given(ctx, name)}
    if run is not None:
        resume_run(ctx, run, given, as_json=as_json)
        return
    if "backbone" not in given:
        raise click.UsageError("Missing option '--backbone'. `zoo list` shows all backbones.", ctx)
    config = FinetuneConfig(**settings)
    catalog = catalog_of(ctx)
    catalog.backbone(config.backbone)  # a wrong name is answered before the engine is loaded
    catalog.head(config.head)
    if config.strategy != "auto":
        catalog.strategy(config.strategy)
    announce("loading the engine, the weights and the list of images")
    from zoo_core.training.job import prepare
    from zoo_core.training.run import run_job

    with progress_of("looking at the images") as watch:
        job = prepare(config, catalog, watch)
    with watching() as callback:
        callback.show(job)
        result = run_job(job, callback)
    report(result, as_json=as_json)


def _was_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
