"""Runs the conformance kit over plugins and records the results in their entries of the registry.

    python registry/verify.py zoo-lenet zoo-vgg
    python registry/build.py                     the index and the page, with these results

The plugins have to be installed; a result counts for the installed version of each. The checks of zoo-timm take hours.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from build import ENTRIES, to_toml

from zoo_core.version import __version__


def main() -> int:
    if not sys.argv[1:]:
        print(__doc__)
        return 2
    for distribution in sys.argv[1:]:
        release_of(distribution)  # before the checks, which take minutes
    for distribution in sys.argv[1:]:
        found = checked(distribution)
        record(distribution, found)
        print(f"{distribution}: {found}", flush=True)
    return 0


def checked(distribution: str) -> dict[str, Any]:
    """The result of `zoo plugin check`, whose exit code is 1 where a check failed."""
    command = [sys.executable, "-m", "zoo_core", "plugin", "check", distribution, "--json"]
    answer = subprocess.run(command, capture_output=True, text=True)
    if not answer.stdout:
        sys.exit(f"{distribution}: {answer.stderr}")
    outcomes = [one["outcome"] for one in json.loads(answer.stdout)["checks"]]
    return {
        "zoo": __version__,
        "date": date.today().isoformat(),
        "checks": len(outcomes),
        "failed": outcomes.count("failed"),
        "declared": outcomes.count("expected"),
    }


def record(distribution: str, found: dict[str, Any]) -> None:
    """Put a result into the entry, in place of an earlier one under the same zoo."""
    entry, release = release_of(distribution)
    others = [one for one in release.get("verified", []) if one["zoo"] != found["zoo"]]
    release["verified"] = [found, *others]
    (ENTRIES / f"{distribution}.toml").write_text(to_toml(entry), encoding="utf-8")


def release_of(distribution: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The entry of a plugin, and the installed version in it. Exits with the reason where one of them is not there."""
    path = ENTRIES / f"{distribution}.toml"
    try:
        entry, installed = tomllib.loads(path.read_text(encoding="utf-8")), version(distribution)
    except FileNotFoundError:
        sys.exit(f"{distribution} has no entry: write {path} first, as README.md says.")
    except PackageNotFoundError:
        sys.exit(f"{distribution} is not installed.")
    found = [one for one in entry["versions"] if one["version"] == installed]
    if not found:
        sys.exit(f"{path} has no version {installed}, which is installed: add it first.")
    return entry, found[0]


if __name__ == "__main__":
    sys.exit(main())
