"""A trial before a long training may find half of the threads faster; the run records them, and whoever resumes it takes
them, as far as the machine has so many cores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from zoo_core.catalog import Catalog
from zoo_core.devices import cores
from zoo_core.errors import UsageError
from zoo_core.paths import cache_dir
from zoo_core.runs.card import decision_lines
from zoo_core.runs.directory import read_facts
from zoo_core.runs.epochs import EpochReport
from zoo_core.settings import FinetuneConfig
from zoo_core.settings.words import USUAL_LAYOUT
from zoo_core.training import step_layout, threads
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.run import resume, run_job
from zoo_core.training.step_layout import BFLOAT16, FEWER, LayoutTrial

LENET = FinetuneConfig(backbone="lenet5", strategy="full", epochs=2, batch_size=16, compile="off", augment="none")
FASTER = {USUAL_LAYOUT: 2.0, FEWER: 1.0}


class Steps(NullCallback):
    """Notes the threads of each step, and the messages; stops after an epoch if asked to."""

    def __init__(self, stop: int | None = None) -> None:
        self.threads: set[int] = set()
        self.messages: list[str] = []
        self.stop = stop

    def on_step(self, epoch: int, step: int, steps: int) -> None:
        self.threads.add(torch.get_num_threads())

    def on_epoch(self, report: EpochReport) -> None:
        if report.epoch == self.stop:
            raise KeyboardInterrupt

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Four cores on which nothing else computes, and a training that is long enough for a trial."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    for name in threads.THEIRS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(step_layout, "LEAST_GMACS", 0)
    monkeypatch.setattr(threads, "is_idle", lambda: True)
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Trials that find half of the threads twice as fast; the numbers that they were told to try."""
    tried: list[int] = []

    def trial(job: object, frozen: int, fewer: int) -> LayoutTrial:
        tried.append(fewer)
        return LayoutTrial(4, FASTER if fewer else {USUAL_LAYOUT: 2.0}, 2 * fewer)

    monkeypatch.setattr(step_layout, "_tried", trial)
    return tried


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({}, 2),
        ({FEWER: 1.9}, 0),  # a busy machine makes such differences
        ({"contiguous:8": 0.9}, 0),  # tried in the usual layout alone
        ({BFLOAT16: 0.1}, 2),
    ],
)
def test_half_of_the_threads_are_taken_where_a_step_is_clearly_faster(seconds: dict[str, float], expected: int) -> None:
    assert LayoutTrial(8, {**FASTER, **seconds}, threads=4).fewer_threads == expected


def test_a_trial_tries_half_of_the_threads_and_leaves_as_many_as_there_were(
    photos: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SECONDS", "ENDS"):  # four threads on fewer cores may take long
        monkeypatch.setattr(step_layout, name, 60.0)
    job = prepare(replace(LENET, data=str(photos)), catalog)
    (kept,) = (cache_dir() / "layouts").glob("*.json")
    assert f'"{FEWER}"' in kept.read_text()
    assert torch.get_num_threads() == 4
    assert job.settings.threads in (2, 4)


def test_a_run_with_fewer_threads_says_so_and_whoever_goes_on_or_repeats_it_takes_them(
    photos: Path, tmp_path: Path, catalog: Catalog, faster: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(LENET, data=str(photos))
    whole, stopped, again = Steps(), Steps(stop=1), Steps()
    job = prepare(replace(config, out=str(tmp_path / "whole")), catalog)
    assert "threads: 2, because they were 2.0 times as fast as 4 in the trial of layouts" in decision_lines(
        job.decisions
    )
    run_job(job, whole)
    with pytest.raises(KeyboardInterrupt):
        run_job(prepare(replace(config, out=str(tmp_path / "stopped")), catalog), stopped)
    assert faster == [2], "the second run reads the first one's trial"
    monkeypatch.setattr(step_layout, "_tried", lambda *given: pytest.fail("recorded threads need no trial"))
    resume(tmp_path / "stopped", catalog, again)
    recorded = read_facts(tmp_path / "whole").config
    assert recorded.threads == 2
    run_job(prepare(replace(recorded, out=str(tmp_path / "repeated")), catalog), again)
    assert whole.threads == stopped.threads == again.threads == {2}
    assert torch.get_num_threads() == 4
    bytes_of = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped", "repeated")]
    assert bytes_of[1:] == [bytes_of[0]] * 2


def test_a_machine_with_fewer_cores_resumes_with_those_and_says_so(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(LENET, data=str(photos), threads=3, out=str(tmp_path / "run"))
    with pytest.raises(KeyboardInterrupt):
        run_job(prepare(config, catalog), Steps(stop=1))
    monkeypatch.setattr(threads, "usable_cores", lambda: 1)
    torch.set_num_threads(1)
    going_on = Steps()
    resume(tmp_path / "run", catalog, going_on)
    assert going_on.threads == {1}
    assert "3 threads are more than the cores here: computing with 1; last bits may differ" in going_on.messages
    assert read_facts(tmp_path / "run").config.threads == 3


def test_a_run_goes_on_with_the_threads_that_it_began_with(
    photos: Path, tmp_path: Path, catalog: Catalog, faster: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's own number, of which no setting speaks: another one sums in another order."""
    config = replace(LENET, epochs=3, data=str(photos), step_layout=USUAL_LAYOUT, out=str(tmp_path / "run"))
    torch.set_num_threads(2)
    with pytest.raises(KeyboardInterrupt):
        run_job(prepare(config, catalog), Steps(stop=1))
    torch.set_num_threads(4)
    assert read_facts(tmp_path / "run").threads == 2
    with monkeypatch.context() as theirs:
        theirs.setenv("OMP_NUM_THREADS", "4")
        elsewhere = Steps(stop=2)
        with pytest.raises(KeyboardInterrupt):
            resume(tmp_path / "run", catalog, elsewhere)
        assert elsewhere.threads == {4}
        assert "the run began with 2 threads, and OMP_NUM_THREADS says 4: last bits may differ" in elsewhere.messages
    going_on = Steps()
    resume(tmp_path / "run", catalog, going_on)
    assert going_on.threads == {2}
    assert torch.get_num_threads() == 4


def test_a_number_that_zoo_put_into_the_environment_is_no_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a quota, or with --devices. Seen to fail: the run went on with other threads than its own."""
    messages: list[str] = []
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert threads.threads_of_run(2, 4, messages.append) == 4
    monkeypatch.setitem(cores._chosen, "OMP_NUM_THREADS", "4")
    assert threads.threads_of_run(2, 4, messages.append) == 2
    assert messages == ["the run began with 2 threads, and OMP_NUM_THREADS says 4: last bits may differ"]


def test_no_setting_is_recorded_where_torchs_own_number_is_taken(
    photos: Path, catalog: Catalog, faster: list[int]
) -> None:
    job = prepare(replace(LENET, data=str(photos), step_layout=USUAL_LAYOUT), catalog)
    assert (job.settings.threads, job.facts().config.threads, faster) == (4, None, [])
    assert not any(line.startswith("threads") for line in decision_lines(job.decisions))


def test_given_threads_a_variable_and_a_busy_machine_leave_no_choice(
    photos: Path, catalog: Catalog, faster: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(LENET, data=str(photos))
    assert prepare(replace(config, threads=3), catalog).settings.threads == 3
    with monkeypatch.context() as theirs:
        theirs.setenv("OMP_NUM_THREADS", "4")
        assert prepare(replace(config, seed=1), catalog).settings.threads == 4
    with monkeypatch.context() as busy:
        busy.setattr(threads, "is_idle", lambda: False)
        assert prepare(config, catalog).settings.threads == 4
    assert faster == [0, 0], "a trial with three threads and one with four are kept, and tell nothing of threads"
    assert prepare(config, catalog).settings.threads == 2
    assert faster == [0, 0, 2], "it is made again as soon as the machine is idle"


@pytest.mark.parametrize(
    ("text", "expected"), [("0.5 0.4 0.3 1/234 99\n", True), ("0.1 0.1 0.1 3/234 99\n", False), ("", False)]
)
def test_a_machine_is_idle_where_no_other_thread_runs(
    text: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    file = tmp_path / "loadavg"
    file.write_text(text)
    monkeypatch.setattr(threads, "LOADS", file)
    assert threads.is_idle() == expected


def test_no_threads_are_refused() -> None:
    with pytest.raises(UsageError, match="threads must be a whole number of at least 1"):
        replace(LENET, threads=0)


def test_within_a_containers_quota_a_program_computes_with_as_many_threads(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "quota", lambda: 2)
    steps = Steps()
    run_job(prepare(replace(LENET, epochs=1, step_layout=USUAL_LAYOUT, out=str(tmp_path / "run")), catalog), steps)
    assert steps.threads == {2}
    assert torch.get_num_threads() == 4
