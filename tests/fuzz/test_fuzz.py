"""The fuzzer tries every target, and finds the faults that it is there for: each kind is planted here."""

from __future__ import annotations

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from fuzz import runner
from fuzz.__main__ import replay, report
from fuzz.mutations import damaged
from fuzz.runner import Tally, blocks, input_of, run
from fuzz.target import Case, Target, WrongAnswer
from fuzz.targets import TARGETS
from zoo_core.data import store
from zoo_core.errors import ZooError

ROOT = Path(__file__).parents[2]
INPUTS = 2000


@pytest.fixture(scope="module")
def figures() -> dict[str, tuple[int, int]]:
    """The inputs and crashes of each target in a short run of the program."""
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", "--inputs", str(INPUTS), "--seed", "1", "--jobs", "2"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^(\S.*?) +(\d+) +\d+ +(\d+) +[\d.]+ +[\d.]+ +\d+$", done.stdout, re.MULTILINE)
    return {name: (int(inputs), int(crashes)) for name, inputs, crashes in rows}


@pytest.mark.parametrize("name", TARGETS)
def test_a_few_dozen_inputs_of_each_target_end_in_right_answers_and_refusals(
    name: str, figures: dict[str, tuple[int, int]]
) -> None:
    inputs, crashes = figures[name]
    assert inputs >= 15
    assert crashes == 0


def planted(check, *, seconds: float = 30, mebibytes: int = 512) -> Target:
    return Target("planted", lambda folder: Case((b"good",), check), 1, seconds, mebibytes)


def _accepting_good(fault):
    def check(content: bytes) -> None:
        if content != b"good":
            fault()

    return check


def _raising(error: Exception) -> None:
    raise error


def _spinning() -> None:
    while True:
        pass


def _dying() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (partial(_raising, KeyError("x")), "KeyError: 'x'"),
        (partial(_raising, WrongAnswer("another array")), "WrongAnswer: another array"),
        (partial(_raising, ZooError("")), "a message of 0 characters"),
        (partial(_raising, ZooError("x" * 10**6)), "a message of 1000000 characters"),
        (partial(bytearray, 2**30), "MemoryError"),
        (_spinning, "takes more than 0.2 seconds"),
        (_dying, "SIGKILL"),
    ],
)
def test_each_kind_of_fault_is_a_crash_that_can_be_replayed(
    fault, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = planted(_accepting_good(fault), seconds=0.2)
    tallies = run(blocks([target], 3, 4), jobs=2, until=math.inf)
    tally = tallies["planted"]
    assert tally.inputs == 4
    assert tally.accepted + len(tally.crashes) == 4
    assert tally.crashes
    assert all(told in crash.error for crash in tally.crashes)
    assert f"4 inputs, {len(tally.crashes)} crashes" in report(tallies, seed=3, seconds=1)
    monkeypatch.setitem(TARGETS, "planted", target)
    replayed = runner.FORK.Process(target=lambda path: sys.exit(replay(path)), args=(tally.crashes[0].save(tmp_path),))
    replayed.start()
    replayed.join()
    assert replayed.exitcode == (-signal.SIGKILL if fault is _dying else 1)


def test_refusals_are_no_crashes() -> None:
    tally = run(blocks([planted(_accepting_good(partial(_raising, ZooError("no"))))], 3, 50), jobs=1, until=math.inf)
    assert tally["planted"].crashes == []
    assert 0 <= tally["planted"].accepted < 50


def test_a_store_that_believes_every_check_sum_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "crc32", lambda *arguments: 0)
    tallies = run(blocks([TARGETS["store rows"]], 1, 60), jobs=1, until=math.inf)
    assert any("an array" in crash.error for crash in tallies["store rows"].crashes)


def test_a_target_that_cannot_be_opened_ends_the_run() -> None:
    with pytest.raises(RuntimeError, match="the target planted cannot be opened"):
        run(blocks([planted(lambda content: _raising(ZooError("no good input")))], 1, 1), jobs=1, until=math.inf)


def test_one_number_always_names_the_same_input() -> None:
    case = Case((b"one good input", b"another"), lambda content: None, damaged)
    made = [{input_of(case, "name", 1, number) for _ in range(3)} for number in range(9)]
    assert {len(same) for same in made} == {1}
    assert len(set().union(*made)) > 5
    assert [input_of(case, "name", 2, number) for number in range(9)] != [min(same) for same in made]


def test_every_target_gets_its_share_of_the_inputs() -> None:
    counts: dict[str, int] = {}
    for block in blocks(list(TARGETS.values()), 0, 100_000):
        assert block.first == counts.get(block.target.name, 0)
        counts[block.target.name] = block.end
    total = sum(target.weight for target in TARGETS.values())
    assert counts == {name: -(-100_000 * target.weight // total) for name, target in TARGETS.items()}
    assert 100_000 <= sum(counts.values()) < 100_000 + len(TARGETS)


def test_the_worst_of_the_blocks_is_told() -> None:
    tally = Tally(2, 1, [], 1.0, 0.5, 3)
    tally.add(Tally(3, 2, [], 1.0, 0.2, 9))
    assert (tally.inputs, tally.accepted, tally.seconds, tally.slowest, tally.mebibytes) == (5, 3, 2.0, 0.5, 9)


def test_a_crash_file_holds_everything_for_its_replay(tmp_path: Path) -> None:
    crash = runner.Crash("a b", 4242, 7, "no \ud800", random.Random(0).randbytes(9))
    path = crash.save(tmp_path / "new")
    assert path.name == "crash-a-b-4242-7.json"
    assert json.loads(path.read_text())["number"] == 7
