"""The fuzz program runs, and notices what it is there for."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fuzz.__main__ import fuzz, report
from fuzz.mutations import damaged
from fuzz.targets import Target, targets
from zoo_core.errors import ZooError

ROOT = Path(__file__).parents[2]
FORMATS = {"JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM"}


def test_a_few_seconds_of_damage_end_in_results_and_errors_of_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", "--seconds", "4", "--seed", "1"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"seed 1: (\d+) inputs, 0 crashes; peak memory \d+ MiB", done.stdout)
    assert found
    assert int(found[1]) > 50


def test_every_reader_takes_the_good_files_that_are_damaged(tmp_path: Path) -> None:
    readers = targets(tmp_path)
    assert {reader.name for reader in readers} == {"config.json", "metrics.jsonl", "model.safetensors", *FORMATS}
    for reader in readers:
        for seed in reader.seeds:
            (tmp_path / reader.file).write_bytes(seed)
            reader.read(tmp_path / reader.file)


def test_one_number_always_names_the_same_damage(tmp_path: Path) -> None:
    for reader in targets(tmp_path):
        for damage in (damaged, reader.damage):
            made = {
                number: {damage(reader.seeds[0], random.Random(f"1/{number}")) for _ in range(3)} for number in range(9)
            }
            assert {len(same) for same in made.values()} == {1}
            assert len(set().union(*made.values())) > 5


def _crash(path: Path) -> None:
    raise KeyError("x")


def _refuse(path: Path) -> None:
    raise ZooError("no")


@pytest.mark.parametrize(("read", "crashes"), [(_crash, True), (_refuse, False)])
def test_what_is_no_error_of_ours_is_a_crash_and_its_input_is_kept(tmp_path: Path, read, crashes: bool) -> None:
    reader: Target = replace(targets(tmp_path)[0], read=read)
    tallies = fuzz([reader], seconds=0.05, seed=3, folder=tmp_path)
    tally = tallies["config.json"]
    assert (len(tally.crashes) == tally.inputs) == crashes
    assert tally.inputs > 0
    assert tally.accepted == 0
    assert (tmp_path / "crash-3-0-config.json").exists() == crashes
    assert ("KeyError: 'x'" in report(tallies, seed=3, megabytes_before=0)) == crashes
