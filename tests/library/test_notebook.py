"""The output in a notebook: tables that are escaped and have no ground of their own, and the progress of a training."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace as Namespace

import pytest

import zoo_core
from zoo_core import FinetuneConfig
from zoo_core.evaluation import evaluate_run
from zoo_core.html_tables import html_table
from zoo_core.notebook import NotebookCallback, in_notebook
from zoo_core.runs.epochs import EpochReport
from zoo_core.runs.notebook_tables import result_html
from zoo_core.testing import make_photos

HOSTILE = '<img src=x onerror="alert(1)">'
BACKEND = "module://matplotlib_inline.backend_inline"


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_everything_that_a_notebook_shows_is_escaped_and_takes_its_colours(tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", count=6, size=32)
    (photos / "red").rename(photos / HOSTILE)
    config = FinetuneConfig(
        backbone="lenet5", data=str(photos), epochs=3, strategy="gradual:every=1", out=str(tmp_path / "run")
    )
    drawn: list[str] = []
    result = zoo_core.finetune(config, callback=NotebookCallback(drawn.append))
    run = zoo_core.load(tmp_path / "run")
    predictions = run.predict([next((photos / HOSTILE).iterdir())])
    plan = zoo_core.Plan.from_dict(run.facts.plan)
    measured = evaluate_run(tmp_path / "run")
    shown = [Tags(one._repr_html_()) for one in (result, run, plan, measured)]
    pages = [*shown, Tags(predictions._repr_html_()), Tags(predictions[0]._repr_html_()), Tags(drawn[-1])]
    for page in pages:
        assert page.tags <= {"div", "p", "b", "table", "tr", "th", "td", "progress"}
    texts = ["".join(page.words) for page in pages]
    assert HOSTILE in texts[1], "the run's classes"
    assert HOSTILE in texts[4], "the predictions"
    assert f"on the val images: {100 * result.evaluation.accuracy:.1f} %" in texts[0]
    assert texts[2].count("frozen") == 6, "3 stages, then 2, then 1"
    assert "* best so far" in texts[6]
    assert all("color:" not in page and "background:#" not in page for page in drawn)


def test_a_table_says_how_many_rows_it_leaves_out() -> None:
    assert "40 more rows are not shown." in html_table("x", ("a",), [["b"]] * 100)


@pytest.mark.parametrize(("count", "best"), [(3, 2), (60, 60), (61, 33), (500, 497)])
def test_the_table_of_a_long_training_has_its_best_and_its_last_epoch(count: int, best: int) -> None:
    """Seen to fail: the first 60 epochs, without the best one."""
    epochs = [
        EpochReport(number, 0, 0.1, train_loss=1.0, val_loss=1.0, val_score=0.5, metric="accuracy", seconds=1.0)
        for number in range(1, count + 1)
    ]
    trained = Namespace(epochs=epochs, best=best)
    result = Namespace(trained=trained, task="classification", directory="run", ending="", measured=None, baseline=None)
    shown = result_html(result)
    assert f">{best}</td>" in shown
    assert f">{count}</td>" in shown
    assert shown.count("* best") == 1
    assert "more rows are not shown" not in shown
    assert ("and the best and the last" in shown) == (count > 60)


def test_a_program_is_no_notebook() -> None:
    assert not in_notebook()


@pytest.mark.parametrize("present", [True, False])
def test_a_fine_tune_works_under_the_backend_of_a_notebook(present: bool, tmp_path: Path) -> None:
    """The kernel of a notebook sets MPLBACKEND; another program that it starts may lack the module."""
    (tmp_path / "matplotlib_inline").mkdir()
    broken = "" if present else "raise ImportError('there is no matplotlib_inline')"
    (tmp_path / "matplotlib_inline" / "__init__.py").write_text(broken)
    (tmp_path / "matplotlib_inline" / "backend_inline.py").write_text(
        "from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas\n"
    )
    make_photos(tmp_path / "photos", count=4, size=32)
    code = (
        "import zoo_core; print(zoo_core.finetune(zoo_core.FinetuneConfig(backbone='lenet5', data='photos', epochs=1, "
        "out='run')).directory)"
    )
    own = {**os.environ, "MPLBACKEND": BACKEND, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"curves.png", "confusion.png"} <= {path.name for path in (tmp_path / "run").iterdir()}
