"""The documentation's figures of GPUs are those of the last result that benchmarks/accelerator.json holds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
sys.path.insert(0, str(TOP / "benchmarks"))

from accelerator_bench import LAST, last_run, table  # noqa: E402


@pytest.mark.parametrize("page", ["README.md", "docs/speed.md", "docs/guides/gpus.md", "benchmarks/README.md"])
def test_a_page_names_the_last_run(page: str) -> None:
    assert last_run() in " ".join((TOP / page).read_text(encoding="utf-8").split())


def test_the_table_is_that_of_the_last_run() -> None:
    result = json.loads(LAST.read_text(encoding="utf-8"))
    lines = (TOP / "benchmarks" / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in table(result["rows"]) if line not in lines] == []
    assert all(row["holds"] in (True, False, None) for row in result["rows"])


def test_no_result_is_no_run(tmp_path: Path) -> None:
    assert last_run(tmp_path / "none.json") == "not yet run on a GPU"
