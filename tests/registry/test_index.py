"""The index of known plugins: two shapes, two places, and nothing that a stranger writes there does harm."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from registry.support import entry, index_of
from zoo_core import installing
from zoo_core.catalog import Catalog, open_catalog
from zoo_core.discovery import DISABLED, PluginRecord
from zoo_core.errors import UsageError, ZooError
from zoo_core.installing import install_command, install_hint, wanted_argument
from zoo_core.registry import known_plugins, read_index, replace_index
from zoo_core.registry.index import BUNDLED, user_index

SOON = (date.today() + timedelta(days=1)).isoformat()
OLD_SHAPE = {
    "version": 1,
    "plugins": [
        {
            **{"distribution": "zoo-vgg", "summary": "VGG for zoo", "licence": "Apache-2.0", "backbones": ["vgg16"]},
            **{"folder": "plugins/zoo-vgg", "links": {}},
        },
        {"distribution": "zoo-mini", "summary": "a small network", "licence": "MIT", "heads": ["mini"]},
    ],
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))


def release(version: str, **fields: Any) -> dict[str, Any]:
    return entry(version=version, install=f"zoo-mini=={version}", **fields)["versions"][0]


def known(*releases: dict[str, Any]) -> None:
    replace_index(index_of({**entry(), "versions": list(releases)}, date=SOON), "it")


def test_the_index_that_zoo_carries_needs_no_other() -> None:
    assert known_plugins() == read_index(BUNDLED.read_bytes(), "it")
    assert known_plugins().named("ZOO_vgg") is not None


def test_an_index_of_the_first_shape_is_read() -> None:
    index = replace_index(json.dumps(OLD_SHAPE).encode(), "it")
    assert [(plugin.distribution, plugin.releases[0].install) for plugin in index.plugins] == [
        ("zoo-mini", "zoo-mini"),
        ("zoo-vgg", "./plugins/zoo-vgg"),
    ]
    assert index.providing("backbones", "vgg16") is not None
    assert known_plugins() != index, "it has no date, so the one that zoo carries is newer"


@pytest.mark.parametrize(("day", "wins"), [(SOON, True), ("2020-01-01", False)])
def test_the_newer_of_the_two_wins(day: str, wins: bool) -> None:
    index = replace_index(index_of(entry(), date=day), "it")
    assert (known_plugins().named("zoo-mini") == index.plugins[0]) is wins


@pytest.mark.parametrize(
    ("entries", "origin"),
    [
        ((), "./plugins/zoo-lora"),
        ((entry("zoo-lora"),), "./plugins/zoo-lora"),
        ((entry("zoo.lora", install="zoo.lora"),), "./plugins/zoo-lora"),
        ((entry("zoo-lora", install="https://example.org/lora.zip"),), "'zoo-lora @ https://example.org/lora.zip'"),
    ],
    ids=["absent", "on an index", "spelt otherwise", "at an address"],
)
def test_an_index_from_elsewhere_hides_no_plugin_of_zoos_source(entries: tuple[Any, ...], origin: str) -> None:
    """Seen to fail: an index with another plugin made it `pip install zoo-lora`, a name that nobody owns."""
    replace_index(index_of(entry(), *entries, date=SOON), "it")
    assert install_command("zoo-lora", here=False) == f"pip install {origin}"
    names = [plugin.distribution for plugin in known_plugins().plugins]
    bundled = {plugin.distribution for plugin in read_index(BUNDLED.read_bytes(), "it").plugins}
    assert names == sorted({*bundled, "zoo-mini"})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"version": 2}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"version": 2, "date": "2026-11-26", "plugins": ' + b"9" * 5000 + b"}",
        b" " * (8 * 2**20 + 1),
        index_of(*[{}] * 1_000_000),
        index_of(entry(), entry()),
        index_of(entry("zoo-mini"), entry("zoo.mini")),
        index_of(entry(), date="9999-12-31"),
        index_of(entry(), date="26-11-26"),
        index_of(entry(), shape=3),
    ],
    ids=[
        "empty",
        "list",
        "halved",
        "bytes",
        "deep",
        "digits",
        "large",
        "million",
        "twice",
        "same",
        "future",
        "date",
        "shape",
    ],
)
def test_a_bad_index_leaves_the_old_one(content: bytes) -> None:
    good = replace_index(index_of(entry(), date=SOON), "it")
    with pytest.raises(ZooError) as caught:
        replace_index(content, "the new one")
    assert str(caught.value).startswith("the new one is ")
    assert len(str(caught.value)) < 500
    assert known_plugins().named("zoo-mini") == good.plugins[0]
    assert [path.name for path in user_index().parent.iterdir()] == ["registry.json"]


@pytest.mark.parametrize("content", [b"", b"{}", index_of(*[{}] * 20_000)])
def test_a_damaged_index_in_the_cache_counts_as_missing(content: bytes) -> None:
    user_index().parent.mkdir()
    user_index().write_bytes(content)
    assert known_plugins() == read_index(BUNDLED.read_bytes(), "it")


def test_the_newest_release_that_goes_here_is_chosen() -> None:
    known(release("1.0"), release("1.9"), release("1.10"), release("2.0", zoo=">=99"), release("3.0", hook_api=">=99"))
    assert wanted_argument("zoo-mini") == ("zoo-mini==1.10", "")
    assert wanted_argument("Zoo_Mini==1.9") == ("zoo-mini==1.9", "")
    with pytest.raises(UsageError, match=r"zoo-mini 2\.0 needs zoo >=99, and this is 0\."):
        wanted_argument("zoo-mini==2.0")
    with pytest.raises(UsageError, match=r"no version 4\.0. Known: 3\.0, 2\.0, 1\.10, 1\.9, 1\.0\."):
        wanted_argument("zoo-mini==4.0")


def test_a_yanked_release_is_installed_where_it_is_named_and_not_else() -> None:
    known(release("1.0", yanked="wrong weights"))
    with pytest.raises(UsageError) as caught:
        wanted_argument("zoo-mini")
    assert str(caught.value) == (
        "no version of zoo-mini can be installed. 1.0 was yanked: wrong weights. "
        "A yanked one is installed when you name it: zoo-mini==1.0."
    )
    assert wanted_argument("zoo-mini==1.0") == ("zoo-mini==1.0", "zoo-mini 1.0 was yanked: wrong weights.")
    known(release("1.0", yanked="wrong weights", zoo=">=99"))
    with pytest.raises(UsageError, match="1.0 needs zoo >=99, and this is") as caught:
        wanted_argument("zoo-mini")
    assert "when you name it" not in str(caught.value), "it would not work either"
    with pytest.raises(UsageError, match="zoo-mini 1.0 needs zoo >=99, and this is"):
        wanted_argument("zoo-mini==1.0")
    known(release("1.0", yanked="wrong weights"), release("0.9"))
    assert wanted_argument("zoo-mini") == ("zoo-mini==0.9", "")


def test_a_file_behind_an_address_is_compared_with_its_hash() -> None:
    known(release("1.0") | {"install": "https://example.org/zoo_mini-1.0-py3-none-any.whl", "sha256": "0" * 64})
    address = f"https://example.org/zoo_mini-1.0-py3-none-any.whl#sha256={'0' * 64}"
    assert wanted_argument("zoo-mini[gpu]") == (f"zoo-mini[gpu] @ {address}", "")
    assert install_command("zoo-mini") == f"pip install 'zoo-mini @ {address}'"


@pytest.mark.parametrize(
    ("releases", "way"),
    [
        ((release("1.0"),), "To install it: `pip install zoo-mini==1.0`"),
        ((release("1.0", yanked="wrong weights"),), "1.0 of it, which has that, was yanked: wrong weights."),
        (
            (release("1.0"), release("2.0", backbones=["other"])),
            "To install the version with it: `zoo plugin install zoo-mini==1.0`",
        ),
    ],
    ids=["newest", "yanked", "older"],
)
def test_an_unknown_backbone_that_the_index_knows_is_answered_with_the_way_to_it(
    releases: tuple[dict[str, Any], ...], way: str
) -> None:
    known(*releases)
    with pytest.raises(UsageError) as caught:
        Catalog(()).backbone("mini")
    assert str(caught.value).startswith("The backbone 'mini' is provided by zoo-mini, which is not installed")
    assert str(caught.value).endswith(way)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"failure": DISABLED}, "which is disabled. Take its name out of ZOO_DISABLE_PLUGINS."),
        ({"failure": "KeyError: 'a'"}, "which was skipped: KeyError: 'a'. `zoo plugin check zoo-mini` shows more."),
        ({"left_out": ("ValueError: odd",)}, "of which some specs cannot be used: ValueError: odd."),
        ({}, "and the installed version 0.1 lacks it. To install it: `pip install zoo-mini==1.0`"),
    ],
    ids=["disabled", "failed", "spec left out", "older"],
)
def test_an_unknown_backbone_of_a_plugin_that_is_here_says_why_it_is_not(record: dict[str, Any], told: str) -> None:
    known(release("1.0"))
    with pytest.raises(UsageError) as caught:
        Catalog((PluginRecord("zoo_mini", "0.1", "mini", **record),)).backbone("mini")
    assert str(caught.value) == f"The backbone 'mini' is provided by zoo-mini, {told}"


def test_of_two_entry_points_the_failed_one_is_the_reason() -> None:
    """Seen to fail: the first one was asked, and it was said to be too old."""
    known(release("1.0"))
    records = (
        PluginRecord("zoo-mini", "1.0", "sound"),
        PluginRecord("zoo-mini", "1.0", "mini", failure="KeyError: 'a'"),
    )
    with pytest.raises(UsageError, match="zoo-mini, which was skipped: KeyError: 'a'"):
        Catalog(records).backbone("mini")


def test_a_backbone_that_no_plugins_hides_is_told_so() -> None:
    with pytest.raises(
        UsageError, match=r"zoo-lenet, which is installed and .* without --no-plugins, .*open_catalog\(\)"
    ):
        open_catalog(with_plugins=False).backbone("lenet5")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("--index-url=https://evil.example", "cannot be installed from"),
        ("-r", "is not the name of a plugin"),
        ("zoo-mini --pre", "is not the name of a plugin"),
        ("zoo-mini @ https://evil.example/x.whl", "cannot be installed from"),
        ("http://example.org/x.whl", "begins with https://"),
        ("file:///etc/passwd", "begins with https://"),
        ("git+ssh://git@example.org/x", "begins with https://"),
        ("https://example.org@evil.example/x.whl", "begins with https://"),
        ("https://example.org/x.whl --pre", "begins with https://"),
        ("z" * 5000, "is not the name of a plugin"),
        ("\x1b[2J", r"'\x1b[2J' is not the name"),
        ("../nowhere", "neither a package's folder"),
        ("nowhere.whl", "neither a package's folder"),
        ("zoo-numpy", "no plugin 'zoo-numpy' is known."),
    ],
)
def test_nothing_else_is_handed_to_pip(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        wanted_argument(text)
    assert told in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_paths_and_addresses_are_taken_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-e").mkdir()
    (tmp_path / "-e" / "pyproject.toml").touch()
    (tmp_path / "mini.whl").touch()
    (tmp_path / "pyproject.toml").touch()
    for text, path in ((".", tmp_path), (".[gpu]", f"{tmp_path}[gpu]"), ("./-e/..", tmp_path)):
        assert wanted_argument(text) == (str(path), "")
    monkeypatch.chdir("-e")
    assert wanted_argument("..") == (str(tmp_path), "")
    monkeypatch.chdir(tmp_path)
    assert wanted_argument("./-e[gpu]") == (f"{tmp_path}/-e[gpu]", "")
    assert wanted_argument("mini.whl") == (f"{tmp_path}/mini.whl", "")
    for address in ("https://example.org/mini.whl", "git+https://example.org/mini@v1.0"):
        assert wanted_argument(address) == (address, "")
    (tmp_path / "zoo-vgh").mkdir()
    with pytest.raises(UsageError, match="Did you mean 'zoo-vgg'. `zoo plugin install ./zoo-vgh` installs the folder"):
        wanted_argument("zoo-vgh")


def test_a_first_party_plugin_is_installed_from_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert wanted_argument("zoo-vgg") == (f"{installing.SOURCE}/plugins/zoo-vgg", "")
    known({**release("1.0"), "install": "./plugins/zoo-vgg"})
    with pytest.raises(UsageError, match="zoo-mini is in zoo's source"):  # where that folder has another plugin
        wanted_argument("zoo-mini")
    monkeypatch.setattr(installing, "SOURCE", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    Path("plugins/zoo-vgg").mkdir(parents=True)
    Path("pyproject.toml").touch()  # the current folder looks like zoo's source, and may be a stranger's
    with pytest.raises(UsageError, match="In the folder of zoo's source: `zoo plugin install ./plugins/zoo-vgg`"):
        wanted_argument("zoo-vgg")
    assert install_hint("zoo-vgg") == "`pip install ./plugins/zoo-vgg` in the folder of zoo's source"
