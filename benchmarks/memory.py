"""The peak memory of a whole fine-tune by the number of images: it must not grow with them.

    python benchmarks/memory.py PHOTOS [--images 200 2000] [--backbone resnet18] [--size 64] [--epochs 2]

PHOTOS is a folder; small JPEGs (80 x 60 pixels) are made in it where it has none. Only the head learns, everything else is
as usual: four varied views of each image. Each fine-tune is a fresh process with an empty cache; the peak is that of its
resident set as the kernel counted it, interpreter and libraries included.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from pathlib import Path

from measuring import environment, in_child, make_photos


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of a fine-tune by the number of images.")
    parser.add_argument("photos", type=Path, help="a folder of JPEGs, made where there are none")
    parser.add_argument("--images", type=int, nargs="+", default=[200, 2000], help="training images (default 200 2000)")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, default=64, help="pixels (default 64)")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    print(
        environment("torch"), f"{arguments.backbone} at {arguments.size} pixels", f"{arguments.epochs} epochs", sep=", "
    )
    print(f"{'images':>10}{'peak MB':>10}{'bytes more an image':>22}")
    first: tuple[int, int] | None = None
    for count in arguments.images:
        photos = make_photos(arguments.photos / f"{count}", train=count, val=40, width=80, height=60)
        settings = ("--backbone", arguments.backbone, "--size", str(arguments.size), "--epochs", str(arguments.epochs))
        with tempfile.TemporaryDirectory() as cache:
            peak = in_child(__file__, str(photos), *settings, environment={"ZOO_CACHE": cache})["peak"]
        more = f"{(peak - first[1]) / (count - first[0]):.0f}" if first else ""
        first = first or (count, peak)
        print(f"{count:>10}{peak / 1e6:>10.1f}{more:>22}", flush=True)


def child(arguments: argparse.Namespace) -> None:
    """Fine-tune and print the most memory that this process had in use, in bytes."""
    import zoo_core

    with tempfile.TemporaryDirectory() as folder:
        zoo_core.finetune(
            zoo_core.FinetuneConfig(
                backbone=arguments.backbone,
                weights="none",
                strategy="head-only",
                data=str(arguments.photos),
                size=arguments.size,
                epochs=arguments.epochs,
                out=f"{folder}/run",
            )
        )
    print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
