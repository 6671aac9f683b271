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
from importlib.metadata import version
from typing import Any

from build import ENTRIES, to_toml

from zoo_core.version import __version__


def main() -> int:
    if not sys.argv[1:]:
        print(__doc__)
        return 2
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
    path = ENTRIES / f"{distribution}.toml"
    entry = tomllib.loads(path.read_text(encoding="utf-8"))
    (release,) = [one for one in entry["versions"] if one["version"] == version(distribution)]
    others = [one for one in release.get("verified", []) if one["zoo"] != found["zoo"]]
    release["verified"] = [found, *others]
    path.write_text(to_toml(entry), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
