"""A whole fine-tune, zoo beside others: from after the imports to the end of training, with an evaluation every epoch.

    pip install timm==1.0.31 transformers==5.23.0 accelerate==1.15.0 fastai==2.8.12 lightning==2.6.6
    python benchmarks/finetune.py PHOTOS [--backbone resnet18] [--strategy head-only] [--epochs 5] [--rounds 3]

PHOTOS is a folder; JPEGs of 500 x 375 pixels in four classes are made there where it has none (--train 200, --val 40).
All start from the same random weights, whose batch norms were measured on some of these images; so accuracies say that
all learn the same task, and nothing about what fine-tuning is worth. baselines.py holds what the others do. Each training
is a fresh process; they take turns, and ratios are medians over the rounds. zoo trains in three ways:

    zoo              --cached-views 1 --augment none, with an empty cache: the same training as the others', which do not vary
                     their images either
    zoo, warm cache  the same again, as a second run on the same images finds it
    zoo, usual       four varied views of each image (--cached-views 4 --augment crop-flip), with an empty cache

zoo's seconds also hold what the others do not do: its run directory with metrics, pictures and weights. CPU seconds are
those of the process and its workers on all cores: what other work on the machine disturbs least.

--at-best lets zoo, timm and torchvision's loop take the fastest that they have, and not the same numbers: zoo trains in
bfloat16 where the processor has units for it, the frozen prefix too, and the loops compute channels last and in bfloat16.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from baselines import RIVALS, Outcome, Task, Train
from measuring import environment, has_bfloat16, in_child, make_photos
from zoo_core.devices.cores import WAITING

COLD, WARM, VARIED = "zoo", "zoo, warm cache", "zoo, 4 views"
ZOO: dict[str, dict[str, Any]] = {
    COLD: {"views": 1, "augment": "none"},
    WARM: {"views": 1, "augment": "none"},
    VARIED: {"views": 4, "augment": "crop-flip"},
}
BEST: dict[str, Any] = {"precision": "bfloat16", "prefix_precision": "bfloat16"}
LINE = "{:<18}{:>8}{:>13}{:>10}{:>10}{:>10}{:>10}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Time whole fine-tunes, zoo beside others.")
    parser.add_argument("photos", type=Path, help="a folder of JPEGs, made where there are none")
    parser.add_argument(
        "--backbone", default="resnet18", help="a resnet, or a vit of timm's as timm-NAME (default resnet18)"
    )
    parser.add_argument("--strategy", default="head-only", choices=("head-only", "last:1", "last:2", "full"))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="how often each trains (default 3)")
    parser.add_argument("--train", type=int, default=200, help="training images (default 200)")
    parser.add_argument("--val", type=int, default=40, help="validation images (default 40)")
    parser.add_argument(
        "--ways", nargs="+", choices=(*ZOO, *RIVALS), help="only these (default: all that are installed)"
    )
    parser.add_argument("--at-best", action="store_true", help="zoo, timm and torchvision as fast as each can")
    parser.add_argument("--child", metavar="WAY", help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    make_photos(arguments.photos, train=arguments.train, val=arguments.val)
    ways = arguments.ways or [
        *ZOO,
        *(name for name, (package, _) in RIVALS.items() if importlib.util.find_spec(package)),
    ]
    print(
        environment("torch", "torchvision", *(RIVALS[way][0] for way in ways if way in RIVALS and way != "torchvision"))
    )
    print(f"{arguments.backbone}, {arguments.strategy}, {arguments.epochs} epochs, ", end="")
    print(
        f"{arguments.train} + {arguments.val} images, {arguments.rounds} rounds{', each at its best' * arguments.at_best}\n",
        flush=True,
    )
    measured: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        make_weights(weights, arguments.backbone, arguments.photos)
        for number in range(arguments.rounds):
            for way, results in measured.items():
                results.append(measure(way, arguments, weights, Path(folder) / f"round{number}"))
    report(measured)


def make_weights(path: Path, backbone: str, photos: Path) -> None:
    """Random weights, whose batch norms have the statistics of 32 photographs as those of a trained network would."""
    import torch
    from safetensors.torch import save_file
    from torch.utils.data import DataLoader, Subset
    from torchvision import models

    from baselines import torchvision_folders

    torch.manual_seed(0)
    if backbone.startswith("timm-"):
        import timm

        network: torch.nn.Module = timm.create_model(backbone.removeprefix("timm-"))
    else:
        network = models.get_model(backbone)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean of what is seen
    train, _ = torchvision_folders(Task(photos, path, backbone, "full", 1))
    with torch.no_grad():
        for images_BCHW, _ in DataLoader(Subset(train, range(0, len(train), max(1, len(train) // 32))), 16):
            network.train()(images_BCHW)
    save_file(network.state_dict(), path, metadata={"format": "pt"})


def measure(way: str, arguments: argparse.Namespace, weights: Path, folder: Path) -> dict[str, Any]:
    """Train in a fresh process. In a round, the two ways of zoo with one training share a cache."""
    cache = folder / ("usual" if way == VARIED else "cache")
    settings = ("--backbone", arguments.backbone, "--strategy", arguments.strategy, "--epochs", str(arguments.epochs))
    at_best = ("--at-best",) if arguments.at_best else ()
    given = (way, str(arguments.photos), "--weights", str(weights), *settings, *at_best)
    waiting = WAITING if way in ZOO else {}  # as `zoo` has it
    return in_child(__file__, *given, environment={"ZOO_CACHE": str(cache), **waiting})


def child(arguments: argparse.Namespace) -> None:
    """Train in one way and print what it took and came to."""
    way = arguments.child
    task = Task(
        arguments.photos,
        arguments.weights,
        arguments.backbone,
        arguments.strategy,
        arguments.epochs,
        at_best=arguments.at_best,
    )
    train = zoo_training(task, ZOO[way]) if way in ZOO else RIVALS[way][1]()
    start, busy = time.perf_counter(), cpu_seconds()
    outcome = train(task)
    seconds = {"seconds": time.perf_counter() - start, "cpu": cpu_seconds() - busy}
    print(json.dumps({**seconds, **asdict(outcome)}))


def cpu_seconds() -> float:
    """What this process and its children that have ended computed, on all cores."""
    return sum(os.times()[:4])


def zoo_training(task: Task, settings: dict[str, Any]) -> Train:
    import zoo_core.library
    import zoo_core.runs.plots
    import zoo_core.tasks.confusion_picture  # imports do not count, nor does the look for plugins
    from zoo_core.catalog import open_catalog
    from zoo_core.specs import resolve

    catalog = open_catalog()
    resolve(catalog.backbone(task.backbone).spec.build)
    runs = tempfile.TemporaryDirectory()  # that they are removed at the end does not count either

    def train(task: Task) -> Outcome:
        config = zoo_core.FinetuneConfig(
            backbone=task.backbone,
            weights=str(task.weights),
            data=str(task.photos),
            strategy=task.strategy,
            epochs=task.epochs,
            lr=task.lr,
            base_lr=1.0,  # as the others: the base learns at the head's rate
            out=tempfile.mkdtemp(dir=runs.name),
            **(BEST if task.at_best and has_bfloat16() else {}),
            **settings,
        )
        last = zoo_core.finetune(config, catalog=catalog).trained.epochs[-1]
        return Outcome(last.score, last.loss)

    return train


def report(measured: dict[str, list[dict[str, Any]]]) -> None:
    medians = {way: statistics.median(one["seconds"] for one in results) for way, results in measured.items()}
    baselines = [way for way in measured if way in RIVALS]
    fastest = min(baselines or measured, key=lambda way: medians[way])
    print(LINE.format("", "gain", "gain in CPU", "median s", "CPU s", "accuracy", "loss"))
    for way, results in measured.items():
        gains = [f"{paired(measured[fastest], results, what):.2f}" for what in ("seconds", "cpu")]
        busy, last = statistics.median(one["cpu"] for one in results), results[-1]
        cells = [f"{medians[way]:.2f}", f"{busy:.2f}", f"{last['accuracy']:.3f}", f"{last['loss']:.4f}"]
        print(LINE.format(way, *gains, *cells))
    print(f"\ngain: how many times as long {fastest} takes, the fastest of the others.")


def paired(theirs: list[dict[str, Any]], ours: list[dict[str, Any]], what: str) -> float:
    """The median over the rounds of how many times as much they take."""
    return statistics.median(float(their[what] / our[what]) for their, our in zip(theirs, ours, strict=True))


if __name__ == "__main__":
    main()
