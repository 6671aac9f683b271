"""Numbers whose differences float32 cannot hold, such as times in seconds since 1970.

Seen to fail: the targets of a table were all equal, RMSE was 0 and every prediction 1.7e9.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers import make_table
from zoo_core import FinetuneConfig, finetune, load
from zoo_core.data.tables import read_table
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
