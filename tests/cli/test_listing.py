"""`zoo list` remembers its rows, and never shows rows of code that has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo_core.cli import common
from zoo_core.cli.common import print_columns
from zoo_core.json_index import write_index
from zoo_core.listing import ROWS

PLUGIN = """
from dataclasses import dataclass
from zoo_core import HeadSpec, hookimpl

@hookimpl
def zoo_heads():
    return [HeadSpec(name="little", build="little_zoo.head:build", summary={summary!r})]
"""
CODE = """
import json, sys
from zoo_core.listing import listed
rows, warnings = listed(sys.argv[1])
print(json.dumps([rows, warnings, "zoo_core.catalog" in sys.modules]))
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder on the import path with one plugin, whose module is in a package."""
    site = tmp_path / "site"
    (site / "little_zoo").mkdir(parents=True)
    (site / "little_zoo" / "__init__.py").touch()
    (site / "little_zoo" / "plugin.py").write_text(PLUGIN.format(summary="one summary"))
    facts = site / "little_zoo-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: little-zoo\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[zoo]\nlittle = little_zoo.plugin\n")
    return site


def listed(site: Path, kind: str, **env: str) -> tuple[list[dict[str, object]], list[str], bool]:
    """The rows and warnings of a fresh process, and whether it opened the catalog."""
    here = {**os.environ, "PYTHONPATH": str(site), "ZOO_CACHE": str(site.parent / "cache"), **env}
    answer = subprocess.run([sys.executable, "-c", CODE, kind], env=here, capture_output=True, text=True, check=True)
    rows, warnings, opened = json.loads(answer.stdout)
    return rows, warnings, opened


def test_the_name_of_a_narrow_column_is_wrapped_as_its_cells_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen to fail: the name pushed those after it beside their columns."""
    monkeypatch.setattr("zoo_core.cli.common._width", lambda: 17)
    print_columns(("a", "95 % interval", "s"), [["x", "86.2 to 100.0 %", "7"]], right={"s"})
    assert capsys.readouterr().out.splitlines() == [
        "a  95 %         s",
        "   interval",
        "─  ───────────  ─",
        "x  86.2 to      7",
        "   100.0 %",
    ]


@pytest.mark.parametrize("kind", ROWS)
def test_remembered_rows_are_the_rows(site: Path, kind: str) -> None:
    first, again = listed(site, kind), listed(site, kind)
    assert first[:2] == again[:2]
    assert (first[2], again[2]) == (True, kind == "weights"), "a second listing opens no catalog"
    assert first[0] or kind == "commands", "there is something to list"


def test_edited_code_is_seen(site: Path) -> None:
    def summary() -> object:
        (row,) = (row for row in listed(site, "heads")[0] if row["name"] == "little")
        return row["summary"]

    assert summary() == "one summary"
    (site / "little_zoo" / "plugin.py").write_text(PLUGIN.format(summary="another summary"))
    assert summary() == "another summary"


def test_a_new_file_beside_the_plugin_counts_once_it_is_read(site: Path) -> None:
    (site / "little_zoo" / "facts.json").write_text('"from a file"')
    text = PLUGIN.replace("{summary!r}", "__import__('json').load(open(__file__[:-9] + 'facts.json'))")
    (site / "little_zoo" / "plugin.py").write_text(text)
    assert "from a file" in str(listed(site, "heads")[0])
    (site / "little_zoo" / "facts.json").write_text('"from the same file, edited"')
    assert "edited" in str(listed(site, "heads")[0])


def test_a_disabled_plugin_is_not_listed(site: Path) -> None:
    assert "little" in str(listed(site, "heads")[0])
    assert "little" not in str(listed(site, "heads", ZOO_DISABLE_PLUGINS="little-zoo")[0])
    rows, warnings, _ = listed(site, "heads", ZOO_DISABLE_PLUGINS="litle-zoo")
    assert "little" in str(rows)
    assert listed(site, "heads", ZOO_DISABLE_PLUGINS="litle-zoo")[1] == warnings != []


def test_a_failure_is_looked_at_anew(site: Path) -> None:
    """The plugin fails while a variable of the environment is missing; nothing on the disk tells when it comes."""
    text = "import os\nos.environ['LITTLE']\n" + PLUGIN.format(summary="here")
    (site / "little_zoo" / "plugin.py").write_text(text)
    rows, warnings, _ = listed(site, "heads")
    assert "little" not in {row["name"] for row in rows}
    assert "the plugin little-zoo was skipped: KeyError" in warnings[0]
    assert "little" in {row["name"] for row in listed(site, "heads", LITTLE="1")[0]}


def test_a_hook_that_fails_is_looked_at_anew(site: Path) -> None:
    text = (
        PLUGIN.format(summary="here") + "\n@hookimpl\ndef zoo_strategies():\n    __import__('os').environ['LITTLE']\n"
    )
    (site / "little_zoo" / "plugin.py").write_text(text + "    return []\n")
    assert "little-zoo works without one of its specs: KeyError" in listed(site, "heads")[1][0]
    assert listed(site, "heads", LITTLE="1")[1] == []


@pytest.mark.parametrize("entries", [[], {"rows": []}, {"code": 3, "rows": [], "warnings": []}])
def test_an_index_of_another_shape_is_made_anew(site: Path, entries: object) -> None:
    expected = listed(site, "heads")[0]
    (index,) = (site.parent / "cache" / "plugins").glob("heads-*.json")
    write_index(index, json.loads(index.read_text().partition("\n")[0])["key"], entries)
    assert listed(site, "heads")[0] == expected


def test_columns_are_left_out_and_named_before_a_name_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen to fail: `zoo runs` broke "efficientnet_lite0" in two on 80 columns, and was wider than these."""
    row = ["runs/first", "efficientnet_lite0", "seventeen letters", "1234567890" * 4]
    names = ("run", "backbone", "about", "weights")
    for width, shown in ((80, "run backbone about"), (120, "run backbone about weights")):
        monkeypatch.setattr(common, "_width", lambda width=width: width)
        print_columns(names, [row], right=(), spared=("weights", "about"))
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == shown.split()
        assert "efficientnet_lite0" in lines[2]
        assert max(map(len, lines)) <= width
        assert (lines[-1] == "Left out, for the terminal is narrow: weights.") is (width == 80)
