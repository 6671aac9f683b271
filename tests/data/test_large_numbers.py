"""Numbers whose differences float32 cannot hold, such as times in seconds since 1970.

Seen to fail: the targets of a table were all equal, RMSE was 0 and every prediction 1.7e9.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers import make_table
from zoo_core import FinetuneConfig, export_run, finetune, load, load_exported
from zoo_core.data.tables import read_table
from zoo_core.exporting.network import facts_of
from zoo_core.tasks import task_named
from zoo_core.tasks.targets import stored_numbers

START = 1.7e9


@pytest.fixture
def times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of a time for each photo: blue ones are from the first minute, red ones from the second."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return make_table(
        tmp_path / "photos", "path,t", lambda name, number: f"{START + number / 2 + 60 * (name == 'red'):.1f}"
    )


def test_a_table_of_times_keeps_their_differences(times: Path) -> None:
    targets = read_table(times).parts["train"].targets
    assert targets.dtype == np.float64
    assert len(np.unique(targets)) == 24
    assert targets.min() == START


@pytest.mark.parametrize("values", [[[1.5], [2.5]], [[0.1], [0.1]], [[1e9], [2e9]], [[1.7e9 + 0.1], [1.7e9 + 0.1]]])
def test_other_numbers_stay_as_they_were(values: list[list[float]]) -> None:
    assert stored_numbers(np.array(values)).dtype == np.float32


def trained(table: Path, out: Path) -> list[float]:
    """The predictions of a run that is trained on a table, for the first three photos of each class."""
    config = FinetuneConfig(backbone="lenet5", data=str(table), epochs=3, device="cpu", compile="off", out=str(out))
    result = finetune(config)
    images = [table.parent / name / f"{number}.jpg" for name in ("blue", "red") for number in (0, 2, 4)]
    answers = [prediction.answers[0][1] for prediction in load(out, device="cpu").predict(images)]
    return [result.evaluation.score, *answers]


def test_times_are_learned_like_the_same_times_from_another_start(times: Path, tmp_path: Path) -> None:
    small = tmp_path / "photos" / "seconds.csv"
    header, *rows = times.read_text().splitlines()
    pairs = [row.split(",") for row in rows]
    small.write_text("\n".join([header, *(f"{path},{float(time) - START:.1f}" for path, time in pairs)]) + "\n")
    score, *seconds = trained(small, tmp_path / "small")
    large_score, *large = trained(times, tmp_path / "large")
    assert large_score == pytest.approx(score, abs=1e-3)
    assert [time - START for time in large] == pytest.approx(seconds, abs=0.01)
    assert len(set(large)) > 1


def test_numbers_in_memory_keep_their_differences() -> None:
    """Seen to fail: they were stored as float32, and all were equal."""
    names, targets = task_named("regression").read_values([START + 1, START + 21], None)
    assert (names, targets.dtype) == (("value",), np.float64)
    assert targets.tolist() == [[START + 1], [START + 21]]
    _, small = task_named("regression").read_values([1, 2.5], None)
    assert small.dtype == np.float32


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e39])
def test_numbers_in_memory_stay_within_float32(value: float) -> None:
    with pytest.raises(ValueError, match="not 1 finite numbers"):
        task_named("regression").read_values([1.0, value], None)


def test_an_exported_file_answers_in_float64_as_its_run(times: Path, tmp_path: Path) -> None:
    """Seen to fail: a file was read back in float32, said so, and answered every image with one
    number."""
    run = tmp_path / "run"
    trained(times, run)
    made = export_run(run, "torch-export")
    images = [times.parent / name / "0.jpg" for name in ("blue", "red")]
    answers = [[one.values[0] for one in opened.predict(images)] for opened in (load(run), load_exported(made.path))]
    assert answers[1] == pytest.approx(answers[0], rel=1e-12)
    assert answers[1][0] != answers[1][1]
    predictor = load(run, device="cpu")
    assert predictor.answer_type == load_exported(made.path).answer_type == "float64"
    assert facts_of(predictor, with_preprocessing=False)["output"].startswith("float64 (batch, numbers)")
