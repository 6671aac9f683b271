"""Compares every network of torchvision with that of the plugin that provides it, and writes the table of all.

python scripts/prove.py proof.jsonl

Both get the same random weights, under the published keys, and the same random image. Goes on where it was stopped.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torchvision
from torchvision import models
from zoo_torchvision.model import published

from zoo_core import BackboneSpec, NoOptions, open_catalog
from zoo_core.testing import build, difference_from, stage_shapes, stir

TABLE = Path(__file__).parents[1] / "ARCHITECTURES.md"
LARGE_ENOUGH = 64  # pixels: feature maps of more than one cell, and nothing takes long
CLOSE = 1e-5
OWN = "zoo-torchvision"


def backbones() -> list[tuple[BackboneSpec, str, str]]:
    """The backbones that are torchvision's networks, their plugins, and the networks as `published` names them."""
    found = []
    for entry in open_catalog().entries(BackboneSpec):
        variant = str(entry.spec.variant) if entry.distribution == OWN else entry.spec.name
        if variant.partition(":")[0] in models.list_models(module=models):
            found.append((entry.spec, entry.distribution, variant))
    missing = set(models.list_models(module=models)) - {variant.partition(":")[0] for _, _, variant in found}
    assert not missing, f"no plugin provides {missing}"
    return found


def row_of(spec: BackboneSpec, plugin: str, variant: str) -> dict[str, Any]:
    torch.manual_seed(0)
    upstream = published(NoOptions(), variant=variant)
    stir(upstream)
    sizes = range(max(LARGE_ENOUGH, spec.min_size), spec.preprocessing.size)
    size = next(filter(spec.takes_size, sizes), spec.preprocessing.size)
    if spec.features.kind == "tokens":  # torchvision's own take one size
        size = spec.preprocessing.size
    difference = difference_from(upstream, spec, size=size, batch=1)
    with torch.device("meta"):
        base, _ = build(spec).split()
    *_, shape = stage_shapes(base, 3, spec.preprocessing.size).values()
    return {
        "name": spec.name,
        "network": variant.partition(":")[0],
        "plugin": plugin,
        "features": f"{spec.features.kind} {' x '.join(map(str, shape))}",
        "stages": len(spec.stages),
        "size": size,
        "difference": difference,
    }


def table(rows: list[dict[str, Any]]) -> str:
    networks = {row["network"] for row in rows}
    others = {row["network"] for row in rows if row["plugin"] != OWN}
    text = [
        f"# The networks of torchvision {torchvision.__version__.partition('+')[0]}",
        "",
        f"torchvision has {len(networks)} networks for classification. {len(others)} of them have a plugin of their own,",
        f"which the last column names; this one provides the other {len(networks) - len(others)}, some of them in two sizes.",
        "`scripts/prove.py` gave each network of torchvision and zoo's the same random weights, under the published keys,",
        "and one random image with the pixels of the fourth column. The fifth has the largest difference of their outputs.",
        "",
        "| architecture | features | stages | pixels | difference | equal | plugin |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        other = "" if row["plugin"] == OWN else f"{row['plugin']} "
        equal = "yes" if row["difference"] <= CLOSE else "no"
        cells = row["name"], row["features"], row["stages"], row["size"], f"{row['difference']:.1g}", equal
        text.append(f"| {' | '.join(map(str, cells))} | {other}|")
    return "\n".join(text) + "\n"


def main(proof: Path) -> None:
    warnings.simplefilter("ignore")
    done = [json.loads(line) for line in proof.read_text().splitlines()] if proof.exists() else []
    rows = {row["name"]: row for row in done}
    with proof.open("a") as file:
        for spec, plugin, variant in backbones():
            if spec.name not in rows:
                rows[spec.name] = row_of(spec, plugin, variant)
                file.write(json.dumps(rows[spec.name]) + "\n")
                file.flush()
    TABLE.write_text(table([rows[spec.name] for spec, _, _ in backbones()]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
