"""`zoo plugin update-index`: from a file or the Hub, compared with its hash, and never half."""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hub.support import Caches
from hubserver import TestHub
from registry.support import entry, index_of
from zoo_core.cli.main import zoo as command_line
from zoo_core.registry import known_plugins
from zoo_core.registry.index import user_index

GOOD = index_of(entry(), date=date.today().isoformat())
HASH = hashlib.sha256(GOOD).hexdigest()


def call(*arguments: object) -> Result:
    return CliRunner().invoke(command_line, ["plugin", "update-index", *map(str, arguments)])


def test_the_hub_serves_an_index(hub: TestHub) -> None:
    hub.add_repo("acme/plugins", {"registry.json": GOOD})
    answer = call("--from", "acme/plugins", "--sha256", HASH, "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout) == {"version": 2, "date": date.today().isoformat(), "plugins": 1, "in_use": True}
    assert known_plugins().named("zoo-mini") is not None


def test_a_file_serves_an_index(caches: Caches, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_bytes(index_of(entry(), date="2020-01-01"))
    answer = call("--from", tmp_path / "index.json")
    assert answer.stdout.splitlines()[0] == "The index of 2020-01-01 is in place: 1 plugins."
    assert "goes on being used" in answer.stdout


@pytest.mark.parametrize(
    ("source", "arguments", "told"),
    [
        (None, [], "zoo publishes no index yet. Name a file or a repository of the Hub: --from FILE|OWNER/NAME"),
        ("acme/plugins", ["--sha256", "0" * 64], "registry.json has the sha256"),
        ("acme/plugins", ["--sha256", "abc"], "'abc' is not a sha256 of 64 hex digits."),
        ("acme/bad", [], "acme/bad is not an index of plugins"),
        ("acme/large", [], "larger than 8 MiB"),
        ("acme/none", [], "hf:acme/none: there is no such repository"),
        ("file.json", ["--sha256", "0" * 64], "file.json has the sha256"),
        ("large.json", [], "large.json is larger than 8 MiB"),
        ("/dev/zero", [], "/dev/zero is not a file."),
        ("nowhere.json", [], "there is no file nowhere.json."),
        ("./a/b", [], "there is no file ./a/b."),
        ("http://x/y", [], "there is no file http://x/y."),
    ],
)
def test_anything_else_is_refused_and_the_old_one_stays(
    source: str | None, arguments: list[str], told: str, hub: TestHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    large = b" " * (8 * 2**20 + 1)
    Path("file.json").write_bytes(GOOD)
    Path("large.json").write_bytes(large)
    assert call("--from", "file.json").exit_code == 0
    hub.add_repo("acme/plugins", {"registry.json": GOOD})
    hub.add_repo("acme/bad", {"registry.json": GOOD[:-9]})
    if source == "acme/large":
        hub.add_repo("acme/large", {"registry.json": large})
    answer = call(*(["--from", source] if source else []), *arguments)
    assert told in str(answer.exception)
    assert user_index().read_bytes() == GOOD
