"""Writes the registry: an entry for each first-party plugin, from its specs, the index of all, and the catalogue page.

    python registry/build.py           write what has changed
    python registry/build.py --check   change nothing; exit 1 when something is out of date
    python registry/build.py --validate FILE   check one entry, such as that of your own plugin, and nothing else

A first-party plugin that is not installed is read from its source. A file of another author's plugin is never touched,
only checked and indexed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
from packaging.requirements import Requirement

from zoo_core.catalog import KINDS, Catalog
from zoo_core.discovery import CORE, PluginRecord, discover, registered_specs
from zoo_core.listing import ROWS
from zoo_core.registry import Index, KnownPlugin, read_index
from zoo_core.registry.entries import read_plugin
from zoo_core.registry.index import BUNDLED as INDEX

HERE = Path(__file__).parent
ENTRIES = HERE / "plugins"
PAGE = HERE.parent / "docs" / "plugins.md"
SHAPE = 2
PROJECTS = {
    project["name"]: (path.parent.name, project)
    for path in (HERE.parent / "plugins").glob("*/pyproject.toml")
    for project in [tomllib.loads(path.read_text(encoding="utf-8"))["project"]]
}
"""The distributions in zoo's source: the folder of each below plugins/, and the facts of its pyproject.toml."""
NAMED = 8  # names of a plugin on the catalogue page
HEAD = """# The known plugins

<!-- written by registry/build.py -->

`zoo plugin search TEXT` finds them, `zoo plugin install NAME` installs one, and `zoo list --available` shows the backbones of
those that are not installed. Being listed is no endorsement: a plugin is code that runs with your rights.

A result of the conformance kit counts for that version of the plugin under that version of zoo, on that day.

| plugin | version | goes with | provides | licence | conformance |
|---|---|---|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    parser.add_argument("--validate", metavar="FILE", type=Path, help="only check one entry")
    arguments = parser.parse_args()
    if arguments.validate:
        return validate(arguments.validate)
    check = arguments.check
    wanted = {ENTRIES / f"{entry['distribution']}.toml": to_toml(entry) for entry in first_party_entries()}
    wanted[INDEX] = index_of(wanted)
    wanted[PAGE] = page_of(read_index(wanted[INDEX].encode(), "the index"))
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'out of date' if check else 'written'}: {path.relative_to(HERE.parent)}")
        if not check:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if check and stale else 0


def validate(path: Path) -> int:
    """Check one entry and say so. Raises SystemExit with its fault."""
    try:
        entry = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}")
    checked(path, entry)
    print(f"{path.name} is a valid entry of {entry['distribution']}.")
    return 0


def first_party_entries() -> list[dict[str, Any]]:
    """An entry for each first-party plugin. Raises SystemExit when one failed."""
    records = {record.distribution: record for record in discover() if record.distribution != CORE}
    for distribution in sorted(PROJECTS):
        record = records.get(distribution) or record_from_source(distribution)
        records[distribution] = record
        if record.failure:
            sys.exit(
                f"{distribution}: {record.failure}. Install what it needs first: pip install -r requirements-dev.txt"
            )
    return [entry_of(records[distribution]) for distribution in sorted(PROJECTS)]


def record_from_source(distribution: str) -> PluginRecord:
    """The specs of a plugin that is not installed, such as one that brings much: its facts need zoo alone."""
    folder, project = PROJECTS[distribution]
    sys.path.append(str(HERE.parent / "plugins" / folder / "src"))
    try:
        ((name, module),) = project["entry-points"]["zoo"].items()
        plugin = importlib.import_module(module)
        specs, left_out = registered_specs(plugin)
    finally:
        sys.path.pop()
    failure = next(iter(left_out), None)
    return PluginRecord(distribution, project["version"], name, tuple(specs), failure, hook_api=plugin.HOOK_API)


def entry_of(record: PluginRecord) -> dict[str, Any]:
    """The entry of a plugin in zoo's source, which has one version: that of its source."""
    folder, project = PROJECTS[record.distribution]
    (core,) = [one for one in map(Requirement, project["dependencies"]) if one.name == CORE]
    version = {
        "version": project["version"],
        "zoo": str(core.specifier),
        "hook_api": f">={record.hook_api}",
        "install": f"./plugins/{folder}",
        **provided_by(record),
        **kept_of(record.distribution, project["version"]),
    }
    return {
        "distribution": record.distribution,
        "summary": project["description"],
        "licence": project["license"],
        "links": {name.lower(): url for name, url in project["urls"].items()},
        "versions": [version],
    }


def provided_by(record: PluginRecord) -> dict[str, list[Any]]:
    """The names that a plugin registers, by kind; a backbone with the facts that `zoo list` filters by."""
    provided: dict[str, list[Any]] = {
        plural: record.names(kind) for kind, (_, plural) in KINDS.items() if record.names(kind)
    }
    if "backbones" in provided:
        provided["backbones"] = [backbone_of(row) for row in ROWS["backbones"](Catalog((record,)))]
    return provided


def backbone_of(row: dict[str, Any]) -> dict[str, Any]:
    """The facts of a backbone that are known."""
    facts = {name: row[name] for name in ("name", "family", "year", "params", "gmacs", "size", "features")}
    weights = [
        {
            "tag": ref["tag"],
            "licence": ref["licence"],
            **({} if ref["top1"] is None else {"top1": ref["top1"], "imagenet": ref["imagenet"]}),
        }
        for ref in row["weights"]
    ]
    return {name: value for name, value in {**facts, "weights": weights}.items() if value not in (None, "", [])}


def kept_of(distribution: str, version: str) -> dict[str, Any]:
    """The facts that no spec has: results of the conformance kit, and a reason not to install the version."""
    path = ENTRIES / f"{distribution}.toml"
    before = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    versions = [one for one in before.get("versions", []) if one["version"] == version]
    return {name: one[name] for one in versions for name in ("yanked", "verified") if name in one}


def to_toml(entry: dict[str, Any]) -> str:
    """An entry as TOML, with a line for each backbone and each result."""
    lines = [f"{name} = {value_of(entry[name])}" for name in entry if name not in ("links", "versions")]
    if "links" in entry:
        lines += ["", "[links]", *(f"{json.dumps(name)} = {value_of(url)}" for name, url in entry["links"].items())]
    for version in entry["versions"]:
        lines += ["", "[[versions]]"]
        for name, value in version.items():
            if isinstance(value, list) and isinstance(value[0], dict):
                lines += [f"{name} = [", *(f"  {value_of(one)}," for one in value), "]"]
            else:
                lines.append(f"{name} = {value_of(value)}")
    return "\n".join(lines) + "\n"


def value_of(value: Any) -> str:
    """A value as TOML in one line; texts, numbers and truth are as in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {value_of(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(value_of, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def index_of(generated: dict[Path, str]) -> str:
    """All entries, generated and contributed, as the JSON index that zoo-core carries, checked.

    Its date is today's where an entry has changed, else the one that it had.
    """
    contributed = {path: path.read_text(encoding="utf-8") for path in ENTRIES.glob("*.toml")}
    texts = {**contributed, **generated}
    entries = [checked(path, tomllib.loads(texts[path])) for path in sorted(texts)]
    before = json.loads(INDEX.read_text(encoding="utf-8")) if INDEX.is_file() else {}
    today = date.today().isoformat()
    same = before.get("version") == SHAPE and before["plugins"] == entries
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    head = f'"version": {SHAPE}, "date": "{before["date"] if same else today}"'
    return f'{{{head}, "plugins": [\n{lines}\n]}}\n'


def checked(path: Path, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry of a file. Raises SystemExit for one that the schema or zoo refuses, or that has another file's name."""
    try:
        jsonschema.validate(entry, json.loads((HERE / "schema.json").read_text(encoding="utf-8")))
    except jsonschema.ValidationError as error:
        sys.exit(f"{path.name}: {'.'.join(map(str, error.absolute_path)) or 'the entry'}: {error.message[:300]}")
    try:
        read_plugin(entry)
    except (ValueError, TypeError, KeyError) as error:
        sys.exit(f"{path.name}: {error}")
    if entry["distribution"] != path.stem:
        sys.exit(f"{path.name}: its distribution is {entry['distribution']}. Give the file that name.")
    return entry


def page_of(index: Index) -> str:
    """The catalogue page."""
    return HEAD + "".join(row_of(plugin) for plugin in index.plugins)


def row_of(plugin: KnownPlugin) -> str:
    """One plugin's newest version as a row."""
    newest = plugin.releases[0]
    folder, _ = PROJECTS.get(plugin.distribution, ("", {}))
    home = f"../plugins/{folder}" if folder else next(iter(plugin.links.values()), "")
    name = f"[{plugin.distribution}]({home})" if home else plugin.distribution
    summary = plugin.summary.replace("|", "\\|").replace("<", "&lt;")
    version = newest.version + (f", yanked: {newest.yanked}" if newest.yanked else "")
    provides = "; ".join(provides_of(kind, names) for kind, names in newest.names.items() if names)
    result = str(newest.verified[0]) if newest.verified else "not run"
    return f"| {name}: {summary} | {version} | zoo {newest.zoo} | {provides} | {plugin.licence} | {result} |\n"


def provides_of(kind: str, names: tuple[str, ...]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:NAMED])
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    word = next(word for word, plural in KINDS.values() if plural == kind) if len(names) == 1 else kind
    return f"{len(names):,} {word}: {shown}{more}"


if __name__ == "__main__":
    sys.exit(main())
