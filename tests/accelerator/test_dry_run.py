"""The benchmark of GPUs, where none is: every part runs, and the report names the lines that it did not show."""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from pathlib import Path

import accelerator
import accelerator_needs
import accelerator_parts
import pytest
import torch
from accelerator_bench import NOTHING_OF_A_GPU, Bench
from accelerator_needs import fault_of
from accelerator_together import replays

from helpers import draw_blank
from zoo_core.training import compiling

UNMEASURED = {"resume", "graphs", "processes", "memory", "waits", "head", "speed", "compiled"}
"""Parts with rows that hold or fail nothing."""
LIKE_OTHERS = {"last:2", "full", "gradual", "lp-ft", "lora", "logreg", "compiled"}
"""Parts that do no other work than one of the rest."""
ALL = [pytest.param(accelerator_parts.PARTS, marks=pytest.mark.whole, id="all")]


@pytest.mark.parametrize(
    "parts",
    [*ALL, pytest.param([part for part in accelerator_parts.PARTS if part not in LIKE_OTHERS], id="one of a kind")],
)
def test_every_part_runs_on_a_cpu_and_the_report_says_what_it_did_not_show(
    parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")  # the other needs a compiler of C++
    draw_blank(monkeypatch.setattr)
    accelerator.main(["--device", "cpu", "--out", str(tmp_path / "dry"), "--parts", ",".join(parts)])
    result = json.loads((tmp_path / "dry.json").read_text())
    assert list(dict.fromkeys(row["part"] for row in result["rows"])) == list(parts)
    assert not [row for row in result["rows"] if row["holds"] is False]
    assert {row["part"] for row in result["rows"] if row["holds"] is None} == UNMEASURED.intersection(parts)
    held = {row["title"] for row in result["rows"] if row["holds"]}
    assert {"last:1, compiled, float32", "last:2, two processes on one device by gloo"} <= held
    report, printed = (tmp_path / "dry.md").read_text(), capsys.readouterr().out
    for text in (report, printed):
        assert NOTHING_OF_A_GPU in text
        assert "Not shown: resnet50, 256 images at once in 3 GB" in text
        assert "Not shown: waits for the device" in text
        assert "Not shown: last:1, recorded as a CUDA graph: only an NVIDIA GPU records graphs." in text
        assert "Not shown: last:2, two GPUs by nccl: it takes two NVIDIA GPUs, and none is here." in text


def test_a_part_that_fails_or_has_no_time_left_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(bench: Bench) -> None:
        raise ValueError("no such kernel")

    parts = {"broken": broken, "whole": lambda bench: bench.tell("a case", "a figure", holds=True)}
    monkeypatch.setattr(accelerator_parts, "PARTS", parts)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    given = ["--device", "cpu", "--parts", "broken,whole", "--out", str(tmp_path / "dry")]
    accelerator.main(given)
    assert [row["holds"] for row in json.loads((tmp_path / "dry.json").read_text())["rows"]] == [False, True]
    accelerator.main([*given, "--minutes", "0"])
    assert "Not shown: whole: no time was left." in (tmp_path / "dry.md").read_text()


def test_a_part_at_work_when_the_time_ends_is_stopped_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(bench: Bench) -> None:
        try:
            bench.tell("a case", "a figure", holds=True)
            time.sleep(60)
        except Exception:  # as a training catches the errors of a compiler
            pytest.fail("the end of the time is no error of a training")

    monkeypatch.setattr(accelerator_parts, "PARTS", {"slow": slow, "next": slow})
    monkeypatch.setattr(accelerator, "LEAST_SECONDS", 0.1)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    started = time.monotonic()
    accelerator.main(["--device", "cpu", "--minutes", "0.02", "--out", str(tmp_path / "dry")])
    assert time.monotonic() - started < 30
    result = json.loads((tmp_path / "dry.json").read_text())
    assert result["limits"][1:] == [
        "Not shown: slow, to its end: the time was over.",
        "Not shown: next: no time was left.",
    ]


def test_missing_packages_are_named_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "run", lambda *given: pytest.fail("it started"))
    monkeypatch.setattr(accelerator_needs, "OF_ALL", ("zoo-core", "zoo-nowhere"))
    with pytest.raises(
        SystemExit, match=r"cannot start: zoo-nowhere is not installed\.\nWith a network, in the checkout"
    ):
        accelerator.main(["--out", str(tmp_path / "dry")])


def test_a_part_whose_packages_are_missing_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accelerator_needs, "OF_PARTS", {"lora": ("zoo-nowhere",)})
    monkeypatch.setattr(accelerator_parts, "PARTS", {"lora": None, "full": lambda bench: bench.tell("a case", "here")})
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    accelerator.main(["--device", "cpu", "--out", str(tmp_path / "dry")])
    assert "without the part lora: zoo-nowhere is not installed" in capsys.readouterr().out
    assert "Not shown: lora: zoo-nowhere is not installed." in (tmp_path / "dry.md").read_text()


def test_an_older_package_than_zoo_needs_is_named() -> None:
    here = version("torch")
    assert fault_of("torch>=2.0") is None
    assert fault_of("torch>=99.1") == f"torch {here} is here, and 99.1 or later is needed"
    assert fault_of(f"torch>={here}") is None
    assert accelerator_needs.numbers("2.11.0+cu126") == [2, 11, 0]


def test_the_graphs_that_torch_plays_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: with the count left in place after the block."""
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda self: "played")
    graph = torch.cuda.CUDAGraph.__new__(torch.cuda.CUDAGraph)
    with replays() as seen:
        assert [graph.replay(), graph.replay()] == ["played", "played"]
    graph.replay()
    assert (seen.count, len(seen.graphs)) == (2, 1)
