"""The trackers that bring much are tested against the real thing in environments of their own: the packages of this one, and on
top those that the plugin requires, in the versions that it allows."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APART = ("mlflow", "trackio", "wandb")


@pytest.mark.whole
@pytest.mark.parametrize("name", APART)
def test_a_tracker_passes_its_tests_with_the_real_thing(tmp_path: Path, name: str) -> None:
    plugin = ROOT / "plugins" / f"zoo-{name}"
    python = make_environment(tmp_path / "venv")
    needed = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]["dependencies"]
    needed = [one for one in needed if not one.startswith("zoo-core")]
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--constraint", str(ROOT / "constraints.txt"), *needed])
    run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(plugin)])
    done = run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", str(plugin)])
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def make_environment(folder: Path) -> str:
    """An environment that finds the packages of this one after its own. Returns its Python."""
    venv.create(folder, with_pip=True)
    (site,) = folder.glob("lib/python*/site-packages")
    here = [path for path in sys.path if Path(path).name == "site-packages"]
    lines = [f"import site; site.addsitedir({path!r})" for path in here]
    (site / "packages_of_the_tests.pth").write_text("\n".join(lines) + "\n")
    return str(folder / "bin" / "python")


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return done
