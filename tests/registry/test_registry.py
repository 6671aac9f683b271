from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import pytest

from zoo_core.installing import registry

ROOT = Path(__file__).parents[2]
ENTRIES = sorted((ROOT / "registry" / "plugins").glob("*.toml"))
SCHEMA = json.loads((ROOT / "registry" / "schema.json").read_text())


def test_the_registry_says_what_the_specs_say() -> None:
    answer = subprocess.run([sys.executable, ROOT / "registry" / "build.py", "--check"], capture_output=True, text=True)
    assert answer.returncode == 0, f"{answer.stdout}{answer.stderr}Run `python registry/build.py`."


def test_every_first_party_plugin_has_an_entry() -> None:
    folders = {path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml")}
    assert folders <= {path.stem for path in ENTRIES}


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.stem)
def test_an_entry_fits_the_schema(path: Path) -> None:
    entry = tomllib.loads(path.read_text())
    jsonschema.validate(entry, SCHEMA)
    assert entry["distribution"] == path.stem
    assert entry in registry()


def test_the_schema_refuses_an_entry_that_provides_nothing() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"distribution": "zoo-x", "summary": "nothing at all", "licence": "MIT"}, SCHEMA)
