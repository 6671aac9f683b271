"""Writes the registry of plugins: one TOML file for each first-party plugin, from its specs, and the index of all.

    python registry/build.py           write what has changed
    python registry/build.py --check   change nothing; exit 1 when something is out of date

The first-party plugins have to be installed. A file of another author's plugin is never touched, only indexed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from zoo_core.catalog import KINDS
from zoo_core.discovery import CORE, PluginRecord, discover

HERE = Path(__file__).parent
INDEX = HERE.parent / "zoo_core" / "resources" / "registry.json"
FIRST_PARTY = {path.name for path in (HERE.parent / "plugins").iterdir() if (path / "pyproject.toml").is_file()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    check = parser.parse_args().check
    wanted = {HERE / "plugins" / f"{entry['distribution']}.toml": to_toml(entry) for entry in first_party_entries()}
    wanted[INDEX] = index(wanted)
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'out of date' if check else 'written'}: {path.relative_to(HERE.parent)}")
        if not check:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if check and stale else 0


def first_party_entries() -> list[dict[str, Any]]:
    """An entry for each installed first-party plugin. Raises SystemExit when one is missing or failed."""
    records = {record.distribution: record for record in discover() if record.distribution != CORE}
    for distribution in sorted(FIRST_PARTY):
        record = records.get(distribution)
        if record is None or record.failure:
            reason = record.failure if record else "it is not installed"
            sys.exit(f"{distribution}: {reason}. Install all plugins first: pip install -r requirements-dev.txt")
    return [entry_of(records[distribution]) for distribution in sorted(FIRST_PARTY)]


def entry_of(record: PluginRecord) -> dict[str, Any]:
    facts = metadata(record.distribution)
    provided = {plural: record.names(kind) for kind, (_, plural) in KINDS.items() if record.names(kind)}
    links = dict(url.split(", ", 1) for url in facts.get_all("Project-URL") or [])
    return {
        "distribution": record.distribution,
        "summary": facts["Summary"],
        "licence": facts["License-Expression"],
        **provided,
        "folder": f"plugins/{record.distribution}",  # until a package index has it
        "links": {name.lower(): url for name, url in links.items()},
    }


def to_toml(entry: dict[str, Any]) -> str:
    """An entry as TOML; a JSON string and a JSON list of strings are TOML as well."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items() if key != "links"]
    if entry["links"]:
        lines += ["", "[links]", *(f"{key} = {json.dumps(value)}" for key, value in entry["links"].items())]
    return "\n".join(lines) + "\n"


def index(generated: dict[Path, str]) -> str:
    """All entries, generated and contributed, as the JSON index that zoo-core carries."""
    contributed = {path: path.read_text(encoding="utf-8") for path in (HERE / "plugins").glob("*.toml")}
    texts = {**contributed, **generated}
    entries = [tomllib.loads(texts[path]) for path in sorted(texts)]
    return json.dumps({"version": 1, "plugins": entries}, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
