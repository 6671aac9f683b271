"""`zoo --version` tells two programs apart."""

from __future__ import annotations

import shutil
from pathlib import Path

from click.testing import CliRunner

from zoo_core.cli.main import zoo
from zoo_core.version import __version__, source_digest


def test_a_changed_file_of_a_checkout_changes_the_version(tmp_path: Path) -> None:
    """0.2.0.dev0 alone names hundreds of commits."""
    package = Path(__file__).parents[2] / "zoo_core"
    told = CliRunner().invoke(zoo, ["--version"]).output
    assert told == f"zoo, version {__version__} (source {source_digest(package)})\n"
    copy = shutil.copytree(package / "tasks", tmp_path / "tasks")
    before = source_digest(copy)
    assert before == source_digest(package / "tasks")
    with (copy / "units.py").open("a") as file:
        file.write("#")
    assert source_digest(copy) != before
