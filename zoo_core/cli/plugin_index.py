"""`zoo plugin update-index`: a newer index of known plugins, from a file or the Hub."""

from __future__ import annotations

import re
from pathlib import Path

import click

from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.errors import UsageError, ZooError, printable, shown

PUBLISHED: str | None = None
"""The Hub repository of zoo's own index, once there is one."""
FILE = "registry.json"


@click.command("update-index")
@click.option(
    "--from", "source", default=PUBLISHED, metavar="FILE|OWNER/NAME", help="A file, or a repository of the Hub."
)
@click.option("--sha256", help="The hash that the index must have.")
@json_option
def update_index(source: str | None, sha256: str | None, as_json: bool) -> None:
    """Take an index of known plugins from a file, or from registry.json in a repository of the Hub.

    It is checked before it replaces the last one. zoo carries an index and reads the newer of the
    two, with its own plugins in any case; nobody needs to update it.

    \b
    zoo plugin update-index --from registry.json
    zoo plugin update-index --from someone/zoo-plugins@main --sha256 HASH
    """
    from zoo_core.registry import known_plugins, replace_index

    if source is None:
        raise UsageError("zoo publishes no index yet. Name a file or a repository of the Hub: --from FILE|OWNER/NAME")
    if sha256 is not None and not re.fullmatch("[0-9a-f]{64}", sha256):
        raise UsageError(f"'{printable(sha256[:80])}' is not a sha256 of 64 hex digits.")
    content = _content(source, sha256)
    index = replace_index(content, printable(source))
    in_use = known_plugins().date
    if as_json:
        print_json({"date": index.date, "plugins": len(index.plugins), "in_use": in_use == index.date})
        return
    click.echo(f"The index of {index.date or 'no date'} is in place: {len(index.plugins)} plugins.")
    if in_use != index.date:
        click.echo(f"The one that zoo carries is newer ({in_use}) and goes on being used.")


def _content(source: str, sha256: str | None) -> bytes:
    """The bytes of an index, of a bounded size, with the hash that was asked for."""
    path = Path(source)
    if not path.exists():
        from zoo_core.hubclient.pull import parse_address, pull

        if source.count("/") != 1 or source.startswith((".", "/", "~")):
            raise UsageError(f"there is no file {shown(source)}. Give a file, or a repository of the Hub: OWNER/NAME.")
        repo, revision = parse_address(source)
        path = pull(repo, [FILE], revision=revision, sha256=sha256, newest=True)[0].path
    return _read(path, sha256)


def _read(path: Path, sha256: str | None) -> bytes:
    import hashlib

    from zoo_core.paths import MAX_JSON_BYTES

    if not path.is_file():  # a pipe would never end
        raise UsageError(f"{printable(str(path))} is not a file.")
    with path.open("rb") as file:
        content = file.read(MAX_JSON_BYTES + 1)
    actual = hashlib.sha256(content).hexdigest()
    if len(content) > MAX_JSON_BYTES:
        raise ZooError(f"{printable(str(path))} is larger than {MAX_JSON_BYTES // 2**20} MiB; zoo does not read that.")
    if sha256 not in (None, actual):
        raise ZooError(f"{printable(str(path))} has the sha256 {actual[:12]}..., and {sha256[:12]}... was asked for.")
    return content
