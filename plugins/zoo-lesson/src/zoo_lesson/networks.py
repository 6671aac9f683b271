"""The pretrained network of a lesson."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout

import click

from zoo_core import Catalog, UsageError

FALLBACK = "lenet5"  # small, with weights in its package, and trained on digits alone


def lightest(group: click.Group) -> str:
    """The network with the fewest multiply-accumulates whose first weights were trained on ImageNet
    and are on this machine, else one for digits.

    Raises UsageError where there is neither.
    """
    printed = io.StringIO()
    with redirect_stdout(printed):
        group.main(["list", "--cached", "--json"], prog_name="zoo", standalone_mode=False)
    rows = json.loads(printed.getvalue())["backbones"]
    found = [
        (row["gmacs"], row["name"])
        for row in rows
        if row["gmacs"] and row["features"] == "map" and row["weights"] and row["weights"][0]["imagenet"]
    ]
    if found:
        return str(min(found)[1])
    if any(row["name"] == FALLBACK for row in rows):
        return FALLBACK
    raise UsageError(
        "no network with pretrained weights is on this machine. `zoo pull resnet18` downloads one, and "
        "`zoo plugin install zoo-efficientnet-lite` installs one with its weights."
    )


def check_backbone(name: str, catalog: Catalog) -> None:
    """Raise UsageError unless the network has feature maps, which the chapters show."""
    spec = catalog.backbone(name).spec
    if spec.features.kind != "map":
        raise UsageError(
            f"{name} computes tokens, and the lesson shows feature maps. Choose a convolutional --backbone."
        )
    if not spec.weights:
        raise UsageError(f"{name} has no pretrained weights, which the lesson needs. Choose another --backbone.")
