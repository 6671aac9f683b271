"""A place that takes no files is refused before the work, with the option that names another one.

A folder that nobody may write cannot be made for the user root, so the system's answer is pretended.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import zoo_core
from zoo_core import FinetuneConfig
from zoo_core.cli.main import zoo


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose directory is read-only, and a program that loads no model any more."""
    config = FinetuneConfig(backbone="lenet5", epochs=1, out=str(tmp_path / "run"))
    run = zoo_core.finetune(config).directory
    taken = tempfile.TemporaryFile

    def refused(*given: Any, dir: Any = None, **named: Any) -> Any:
        if Path(dir or ".").is_relative_to(run):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(dir))
        return taken(*given, dir=dir, **named)

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    monkeypatch.setattr("zoo_core.library.load", lambda *given, **named: pytest.fail("the model was loaded"))
    monkeypatch.setattr("zoo_core.exporting.export.load", lambda *given, **named: pytest.fail("the model was loaded"))
    monkeypatch.setattr("zoo_core.reporting.gather.load", lambda *given, **named: pytest.fail("the model was loaded"))
    return run


@pytest.mark.parametrize(
    ("arguments", "file", "option"),
    [
        (("report", "RUN"), "report.html", "-o"),
        (("report", "RUN", "-o", "RUN/a.html"), "a.html", "--out"),
        (("export", "RUN", "--to", "torch-export"), "model.pt2", "-o"),
        (("export", "RUN", "--to", "torch-export", "-o", "RUN/new/a.pt2"), "new/a.pt2", "-o"),
        (("explain", "RUN", "photos", "-o", "RUN/a.png"), "a.png", "--out"),
        (("bench", "RUN", "-o", "RUN/a.png"), "a.png", "--out"),
        (("embed", "RUN", "--data", "photos", "-o", "RUN/a.npz"), "a.npz", "--out"),
    ],
)
def test_a_folder_that_takes_no_files_is_refused_first(
    run: Path, arguments: tuple[str, ...], file: str, option: str
) -> None:
    """Seen to fail: `zoo report` computed for minutes, and named no option."""
    answer = CliRunner().invoke(zoo, [text.replace("RUN", str(run)) for text in arguments])
    assert str(answer.exception) == (
        f"{run / file} could not be written: Permission denied. Free space or give another place with {option}."
    )
