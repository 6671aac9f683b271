"""`zoo cache`: what zoo keeps between runs, and how to be rid of it."""

from __future__ import annotations

from pathlib import Path

import click

from zoo_core.cli.common import console, json_option, megabytes, print_json, shown, table
from zoo_core.paths import cache_dir

KINDS = {
    "features": "what frozen parts gave for images",
    "pixels": "images made small",
    "scans": "what was seen of image files",
    "shards": "parts of data sets from afar",
    "weights": "weights that were converted",
    "plugins": "which plugins are installed",
}


@click.command()
@click.option(
    "--clear", is_flag=True, help="Remove features, pixels, scans and shards: they are made again when needed."
)
@json_option
def cache(clear: bool, as_json: bool) -> None:
    """Show what zoo keeps in its cache folder, or clear it.

    `zoo finetune --cache-gb` limits features and pixels; the least recently used go first. ZOO_CACHE is the folder.

    \b
    zoo cache
    zoo cache --clear
    """
    root = cache_dir()
    if clear:
        import shutil

        for kind in ("features", "pixels", "scans", "shards"):
            shutil.rmtree(root / kind, ignore_errors=True)
    sizes = {kind: _size(root / kind) for kind in KINDS}
    if as_json:
        print_json({"folder": str(root), "kept": [{"kind": kind, "bytes": size} for kind, size in sizes.items()]})
        return
    made = table("kind", "size", "what it is", right=("size",))
    for kind, size in sizes.items():
        made.add_row(kind, megabytes(size), KINDS[kind])
    out = console()
    out.print(made)
    out.print(f"In {shown(root)}.")


def _size(folder: Path) -> int:
    """The bytes of all files below a folder; a file that goes meanwhile counts as none."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
