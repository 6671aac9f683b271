"""`zoo cache`: shows the cache folder and its parts, and clears them."""

from __future__ import annotations

from pathlib import Path

import click

from zoo_core.cli.common import console, shown, table
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.paths import cache_dir
from zoo_core.wording import megabytes

KINDS = {
    "features": "outputs of frozen stages, by image",
    "pixels": "resized images",
    "scans": "sizes and damage of image files",
    "shards": "downloaded parts of data sets",
    "weights": "weights converted to safetensors",
    "plugins": "installed plugins, the rows of their listing, the index of known ones",
}


@click.command()
@click.option("--clear", is_flag=True, help="Remove features, pixels, scans and shards; later runs make them again.")
@json_option
def cache(clear: bool, as_json: bool) -> None:
    """Show the contents of the cache folder, or clear it.

    `zoo finetune --cache-gb` limits features and pixels; the least recently used go first.
    ZOO_CACHE is the folder.

    \b
    zoo cache
    zoo cache --clear
    """
    root = cache_dir()
    if clear and (in_use := _clear(root)):
        click.echo(f"left {in_use} of them, which a run uses: clear again when it has ended", err=True)
    sizes = {kind: _size(root / kind) for kind in KINDS}
    if as_json:
        print_json({"folder": str(root), "kept": [{"kind": kind, "bytes": size} for kind, size in sizes.items()]})
        return
    made = table("kind", "size", "contents", right=("size",))
    for kind, size in sizes.items():
        made.add_row(kind, megabytes(size), KINDS[kind])
    out = console()
    out.print(made)
    out.print(f"In {shown(root)}.")


def _clear(root: Path) -> int:
    """Remove what later runs make again; the number of stores that a process uses, which stay."""
    import shutil

    from zoo_core.data.eviction import remove_store

    folders = [folder for kind in ("features", "pixels") for folder in (root / kind).glob("*")]
    in_use = sum(not remove_store(folder) for folder in folders)
    for kind in ("scans", "shards"):
        shutil.rmtree(root / kind, ignore_errors=True)
    return in_use


def _size(folder: Path) -> int:
    """The bytes of all files below a folder; a file that disappears meanwhile counts as 0."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
