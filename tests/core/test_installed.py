"""The index of the installed plugins is checked like anything that lies on a disk."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from zoo_core import installed
from zoo_core.installed import InstalledPlugin, installed_plugins
from zoo_core.json_index import read_index, write_index
from zoo_core.paths import cache_dir, import_folders

PLUGIN = InstalledPlugin("one", "zoo_core.builtin", "zoo-one", "1.0")


@pytest.mark.parametrize("field", list(asdict(PLUGIN)))
@pytest.mark.parametrize("value", [5, None, True, ["a"]])
def test_an_index_with_a_field_of_another_type_is_made_anew(
    field: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number as a distribution ended `zoo list` in a traceback until pip ran again."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(installed, "_scan", lambda: [PLUGIN])
    installed_plugins()
    (index,) = (tmp_path / "plugins").glob("*.json")
    write_index(index, import_folders(), [{**asdict(PLUGIN), field: value}])
    assert installed_plugins() == [PLUGIN]
    assert read_index(index, import_folders(), list) == [asdict(PLUGIN)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the folder comes from platformdirs itself")
@pytest.mark.parametrize("base", [None, "", " ", "/var/tmp/caches", "relative", "~/caches"])
def test_the_cache_folder_is_that_of_platformdirs(base: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_CACHE")
    if base is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", base)
    assert cache_dir() == user_cache_path("zoo")
