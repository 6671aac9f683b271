"""The files of the registry, their schema, and the scripts that write them."""

from __future__ import annotations

import copy
import importlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from registry.support import entry, index_of
from zoo_core.catalog import KINDS
from zoo_core.discovery import discover
from zoo_core.errors import ZooError
from zoo_core.installed import installed_plugins
from zoo_core.registry import read_index
from zoo_core.registry.entries import PROVIDED
from zoo_core.registry.index import BUNDLED
from zoo_core.testing import plugin_checks

ROOT = Path(__file__).parents[2]
ENTRIES = sorted((ROOT / "registry" / "plugins").glob("*.toml"))
SCHEMA = json.loads((ROOT / "registry" / "schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_registry_says_what_the_specs_say() -> None:
    answer = subprocess.run([sys.executable, ROOT / "registry" / "build.py", "--check"], capture_output=True, text=True)
    assert answer.returncode == 0, f"{answer.stdout}{answer.stderr}Run `python registry/build.py`."


def test_one_entry_is_validated_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "registry")
    build = importlib.import_module("build")
    file = tmp_path / "zoo-zfnet.toml"
    text = (ROOT / "registry" / "plugins" / "zoo-zfnet.toml").read_text()
    file.write_text(text)
    assert build.validate(file) == 0
    assert capsys.readouterr().out == "zoo-zfnet.toml is a valid entry of zoo-zfnet.\n"
    for broken, told in (("x = (", "zoo-zfnet.toml: "), (text.replace("versions", "version"), "zoo-zfnet.toml: ")):
        file.write_text(broken)
        with pytest.raises(SystemExit, match=told):
            build.validate(file)


def test_a_result_of_the_kit_replaces_the_one_under_the_same_zoo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "registry")
    verify = importlib.import_module("verify")
    monkeypatch.setattr(verify, "ENTRIES", tmp_path)
    written = (ROOT / "registry" / "plugins" / "zoo-zfnet.toml").read_text()
    (tmp_path / "zoo-zfnet.toml").write_text(written)
    for zoo, failed in (("0.8", 0), ("0.9", 1), ("0.9", 0)):
        found = {"zoo": zoo, "date": "2026-11-26", "checks": 3, "failed": failed, "declared": 0}
        verify.record("zoo-zfnet", found)
    before, after = (tomllib.loads(text) for text in (written, (tmp_path / "zoo-zfnet.toml").read_text()))
    results = after["versions"][0].pop("verified")
    assert [(one["zoo"], one["failed"]) for one in results[:2]] == [("0.9", 0), ("0.8", 0)]
    assert results[2:] == before["versions"][0].pop("verified", [])
    assert after == before, "nothing else has changed"


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("zoo-nowhere", None, "zoo-nowhere has no entry: write .*zoo-nowhere.toml first"),
        ("zoo-gone", ("zoo-zfnet", "zoo-gone"), "zoo-gone is not installed"),
        (
            "zoo-zfnet",
            ('version = "', 'version = "9'),
            "zoo-zfnet.toml has no version .*, which is installed: add it first",
        ),
    ],
)
def test_an_entry_that_cannot_take_a_result_ends_before_the_checks(
    name: str, change: tuple[str, str] | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: all checks ran, and a FileNotFoundError or a ValueError came after them."""
    monkeypatch.syspath_prepend(ROOT / "registry")
    verify = importlib.import_module("verify")
    monkeypatch.setattr(verify, "ENTRIES", tmp_path)
    monkeypatch.setattr(verify, "checked", lambda distribution: pytest.fail("checked"))
    monkeypatch.setattr(sys, "argv", ["verify.py", name])
    if change is not None:
        written = (ROOT / "registry" / "plugins" / "zoo-zfnet.toml").read_text()
        (tmp_path / f"{name}.toml").write_text(written.replace(*change))
    with pytest.raises(SystemExit, match=told):
        verify.main()


def test_a_result_of_the_kit_counts_the_checks_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: the kit had a check more than when it was last run."""
    stated = {
        path.stem: one["verified"][0]["checks"]
        for path in ENTRIES
        for one in tomllib.loads(path.read_text())["versions"]
        if "verified" in one
    }
    monkeypatch.syspath_prepend(ROOT / "registry")
    build = importlib.import_module("build")
    plugins = {one.distribution: one.load() for one in installed_plugins() if one.distribution in stated}
    for name in stated.keys() - plugins.keys():  # one that brings much; its facts need zoo alone
        folder, project = build.PROJECTS[name]
        monkeypatch.syspath_prepend(ROOT / "plugins" / folder / "src")
        plugins[name] = importlib.import_module(*project["entry-points"]["zoo"].values())
    assert stated == {name: len(plugin_checks(plugin)) for name, plugin in plugins.items()}, "Run registry/verify.py."


def test_every_first_party_plugin_has_an_entry_whatever_its_folder_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: the name of the folder was taken for that of the distribution."""
    monkeypatch.syspath_prepend(ROOT / "registry")
    build = importlib.import_module("build")
    assert {*build.PROJECTS} <= {path.stem for path in ENTRIES}
    _, project = build.PROJECTS["zoo-zfnet"]
    monkeypatch.setitem(build.PROJECTS, "zoo-zfnet", ("zf", project))
    (record,) = [one for one in discover() if one.distribution == "zoo-zfnet"]
    made = build.entry_of(record)
    assert [one["install"] for one in made["versions"]] == ["./plugins/zf"]
    (plugin,) = read_index(index_of(build.checked(Path("zoo-zfnet.toml"), made)), "it").plugins
    assert build.row_of(plugin).startswith("| [zoo-zfnet](../plugins/zf): ")


def test_the_index_holds_every_file_as_it_is() -> None:
    assert json.loads(BUNDLED.read_text())["plugins"] == [tomllib.loads(path.read_text()) for path in ENTRIES]


def test_the_entry_of_the_readme_is_a_good_one() -> None:
    text = (ROOT / "registry" / "README.md").read_text()
    example = tomllib.loads(text.split("```toml\n")[1].split("```")[0])
    VALIDATOR.validate(example)
    (plugin,) = read_index(index_of(example), "it").plugins
    assert [release.yanked is None for release in plugin.releases] == [True, False]


def test_an_entry_may_list_every_kind_of_spec() -> None:
    assert (
        {plural for _, plural in KINDS.values()}
        <= set(PROVIDED)
        == set(SCHEMA["$defs"]["version"]["properties"]) & {*PROVIDED}
    )


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    made = copy.deepcopy(entry())
    change(made)
    return made


def version_with(**fields: Any) -> dict[str, Any]:
    return changed(lambda one: one["versions"][0].update(fields))


HOSTILE = {
    "long name": changed(lambda one: one.update(distribution="z" * 101)),
    "escape in a summary": changed(lambda one: one.update(summary="ten letters \x1b[2J")),
    "escape in a licence": changed(lambda one: one.update(licence="\x1b]0;x\x07")),
    "link of another scheme": changed(lambda one: one.update(links={"home": "javascript:alert(1)"})),
    "no versions": changed(lambda one: one.update(versions=[])),
    "path as a name": changed(lambda one: one.update(distribution="../../zoo")),
    "option as a name": changed(lambda one: one.update(distribution="--index-url=https://evil.example")),
    "option": version_with(install="--index-url=https://evil.example"),
    "option behind the name": version_with(install="zoo-mini --index-url=https://evil.example"),
    "two requirements": version_with(install="zoo-mini==1.0 evil"),
    "address behind the name": version_with(install="zoo-mini @ file:///etc"),
    "file": version_with(install="file:///home/zoo-mini.whl"),
    "http": version_with(install="http://example.org/zoo-mini.whl"),
    "user in an address": version_with(install="https://example.org@evil.example/zoo-mini.whl"),
    "spaces in an address": version_with(install="https://example.org/a b.whl"),
    "folder outside": version_with(install="./plugins/../../zoo-mini"),
    "folder above": version_with(install="./plugins/.."),
    "hash of nothing": version_with(sha256="abc"),
    "name of a backbone": version_with(backbones=["Mini Net"]),
    "escape in a backbone": version_with(backbones=[{"name": "mini", "family": "\x1b[2J"}]),
    "many names": version_with(heads=[f"h{number}" for number in range(10_001)]),
    "name twice": version_with(heads=["one", "one"]),
    "huge number": version_with(backbones=[{"name": "mini", "params": 10**30}]),
    "top-1 above 100": version_with(
        backbones=[{"name": "mini", "weights": [{"tag": "a", "licence": "MIT", "top1": 1e200}]}]
    ),
    "yanked for no words": version_with(yanked=True),
    "number of a version": version_with(version="--pre"),
    "version of nothing": version_with(version=None),
    "date": version_with(verified=[{"zoo": "0.2", "date": "yesterday", "checks": 1, "failed": 0, "declared": 0}]),
    "half a result": version_with(verified=[{"zoo": "0.2"}]),
}
MORE = {  # that the schema's language cannot say, or says in build.py
    "another's name": version_with(install="evil==1.0"),
    "hash without an address": version_with(sha256="0" * 64),
    "range": version_with(zoo=">=>=1"),
    "version twice": changed(lambda one: one.update(versions=[*one["versions"], *one["versions"]])),
    "day that is none": version_with(
        verified=[{"zoo": "0.2", "date": "2026-02-31", "checks": 1, "failed": 0, "declared": 0}]
    ),
}


def test_a_good_entry_fits_the_schema_and_the_reader() -> None:
    VALIDATOR.validate(entry())
    (plugin,) = read_index(index_of(entry()), "it").plugins
    (release,) = plugin.releases
    assert (plugin.distribution, release.version, release.obstacle) == ("zoo-mini", "1.0", None)
    assert release.names["backbones"] == ("mini", "mini-plain")
    assert [row["params"] for row in release.backbones] == [1000, None]
    assert str(release.verified[0]) == "34 checks passed, 1 as declared (zoo 0.2, 2026-11-26)"


@pytest.mark.parametrize("name", HOSTILE)
def test_schema_and_reader_refuse_a_hostile_entry(name: str) -> None:
    assert not VALIDATOR.is_valid(HOSTILE[name])
    assert_refused(HOSTILE[name])


@pytest.mark.parametrize("name", MORE)
def test_the_reader_refuses_more(name: str) -> None:
    assert_refused(MORE[name])


def assert_refused(hostile: dict[str, Any]) -> None:
    with pytest.raises(ZooError) as caught:
        read_index(index_of(entry("zoo-other"), hostile), "it")
    told = str(caught.value)
    assert told.startswith("it is not an index of plugins that this zoo can read: entry 2: ")
    assert len(told) < 500
    assert told.isprintable()
