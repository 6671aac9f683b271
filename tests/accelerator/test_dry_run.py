"""The benchmark of GPUs, where none is: every part runs, and the report names the lines that it did not show."""

from __future__ import annotations

import json
from pathlib import Path

import accelerator
import pytest
from accelerator_bench import NOTHING_OF_A_GPU, Bench

from helpers import draw_blank


def test_every_part_runs_on_a_cpu_and_the_report_says_what_it_did_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    draw_blank(monkeypatch.setattr)
    accelerator.main(["--device", "cpu", "--out", str(tmp_path / "dry")])
    result = json.loads((tmp_path / "dry.json").read_text())
    assert {row["part"] for row in result["rows"]} == set(accelerator.PARTS)
    assert not [row for row in result["rows"] if row["holds"] is False]
    assert {row["part"] for row in result["rows"] if row["holds"] is None} == {
        "resume",
        "memory",
        "waits",
        "head",
        "speed",
    }
    report, printed = (tmp_path / "dry.md").read_text(), capsys.readouterr().out
    for text in (report, printed):
        assert NOTHING_OF_A_GPU in text
        assert "Not shown: resnet50, 256 images at once in 3 GB" in text
        assert "Not shown: waits for the device" in text


def test_a_part_that_fails_or_has_no_time_left_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(bench: Bench) -> None:
        raise ValueError("no such kernel")

    parts = {"broken": broken, "whole": lambda bench: bench.tell("a case", "a figure", holds=True)}
    monkeypatch.setattr(accelerator, "PARTS", parts)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    given = ["--device", "cpu", "--parts", "broken,whole", "--out", str(tmp_path / "dry")]
    accelerator.main(given)
    assert [row["holds"] for row in json.loads((tmp_path / "dry.json").read_text())["rows"]] == [False, True]
    accelerator.main([*given, "--minutes", "0"])
    assert "Not shown: whole: no time was left." in (tmp_path / "dry.md").read_text()
