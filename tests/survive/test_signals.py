"""Row 3: Ctrl-C and SIGTERM finish the step, save and say how to go on; a second one leaves at once, and nothing is lost.

Real processes without a terminal. Seen to fail: where the first signal is no wish, or nobody listens to it; where a second
one is not heeded, or ends the run without a word of how to go on; where features are not kept when a signal stops their
computing; where a signal in the middle of a print is answered by a print that may fail (a traceback, and nothing saved).
"""

from __future__ import annotations

import io
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from survive.support import Forks, history_of, weights_of
from zoo_core.cli.main import terminated
from zoo_core.data.generation import ENTRY
from zoo_core.errors import Terminated
from zoo_core.training.stopping import stop_on_signals

LONG = ("--backbone", "lenet5", "--data", "photos", "--batch-size", 4, "--epochs", 20, "--save-every", 1000)
TRAINING = (*LONG, "--strategy", "full", "--head", "mlp:hidden=8,dropout=0.5")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    def call(*arguments: object, slow: str = "") -> subprocess.Popen[str]:
        """`slow` is code that runs before the command line does."""
        code = f"import sys\n{slow}\nfrom zoo_core.cli.main import main\nsys.argv[0] = 'zoo'\nmain()"
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )

    return call


def wait_for(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    while not there():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def epochs_in(run: Path) -> int:
    path = run / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize(
    ("signum", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(
    forks: Forks, place: Path, start, signum: int, code: int, word: str
) -> None:
    assert forks.zoo("finetune", *TRAINING, "--out", "whole", cwd=place).code == 0
    process = start("finetune", *TRAINING, "--out", "run")
    wait_for(process, lambda: epochs_in(place / "run") >= 2)
    process.send_signal(signum)
    _, words = process.communicate(timeout=30)
    assert process.returncode == code, words
    assert f"error: {word} in epoch " in words
    assert "all that was done is saved. Go on with: zoo resume run" in words
    assert "Traceback" not in words
    assert len(list((place / "run" / "checkpoints").iterdir())) == 1
    resumed = forks.zoo("resume", "run", cwd=place)
    assert resumed.code == 0, resumed.text
    (stopped,) = re.findall(rf"{word} in epoch (\d+)", words)
    assert f"going on in epoch {stopped} after step " in resumed.text
    assert weights_of(place / "run") == weights_of(place / "whole")
    assert history_of(place / "run") == history_of(place / "whole")


def test_a_closed_terminal_finishes_the_step_and_saves(forks: Forks, place: Path) -> None:
    """Seen to fail: SIGHUP ended the run at once, and nothing was saved."""
    assert forks.zoo("finetune", *TRAINING, "--out", "whole", cwd=place).code == 0
    pid, terminal = pty.fork()
    if pid == 0:  # in the child, whose terminal this is
        os.chdir(place)
        os.execv(sys.executable, [sys.executable, "-m", "zoo_core", "finetune", *map(str, TRAINING), "--out", "run"])
    while epochs_in(place / "run") < 2:
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        if select.select([terminal], [], [], 0.01)[0]:
            os.read(terminal, 4096)  # so that nobody waits for room
    os.kill(pid, signal.SIGSTOP)  # so that the terminal is closed while the run prints nothing
    os.close(terminal)
    os.kill(pid, signal.SIGCONT)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    assert len(list((place / "run" / "checkpoints").iterdir())) == 1
    resumed = forks.zoo("resume", "run", cwd=place)
    assert resumed.code == 0, resumed.text
    assert weights_of(place / "run") == weights_of(place / "whole")


SLOW_STEP = """
import time
from zoo_core.training.trainer import Trainer
real = Trainer.train_batch
def step(self, *more):
    real(self, *more)
    if self.state.epoch == 1:
        open('slow', 'w').close()
        time.sleep(600)
Trainer.train_batch = step
"""


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_leaves_at_once_and_nothing_is_lost(
    forks: Forks, place: Path, start, signum: int, code: int
) -> None:
    settings = (*TRAINING, "--epochs", 3)
    assert forks.zoo("finetune", *settings, "--out", "whole", cwd=place).code == 0
    process = start("finetune", *settings, "--out", "run", slow=SLOW_STEP)
    wait_for(process, (place / "slow").exists)
    process.send_signal(signum)
    told = "stopping: this step is finished and saved first (once more to leave at once)"
    assert any(told in line for line in process.stderr)  # two signals at once would be one
    process.send_signal(signum)
    _, words = process.communicate(timeout=10)  # the step would take ten minutes
    assert process.returncode == code, words
    assert "error: left at once; what the last checkpoint holds is kept. Go on with: zoo resume run" in words
    assert "Traceback" not in words
    resumed = forks.zoo("resume", "run", cwd=place)
    assert resumed.code == 0, resumed.text
    assert "no checkpoint was written yet: the run begins anew" in resumed.text
    assert weights_of(place / "run") == weights_of(place / "whole")


class Pipe(io.RawIOBase):
    """What a stream writes to. A signal comes in the middle of the first write, when the stream is locked."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        if not self.written:
            self.written += bytes(data)
            signal.raise_signal(signal.SIGTERM)
        return len(data)


@pytest.fixture
def printing(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Prints to standard error, and a SIGTERM comes in the midst of it."""

    def call() -> None:
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(Pipe()), write_through=True))
        print("epoch 1", file=sys.stderr, flush=True)

    return call


def test_a_signal_in_the_middle_of_a_print_is_a_wish_like_any_other(printing: Callable[[], None]) -> None:
    with stop_on_signals(lambda: print("stopping", file=sys.stderr, flush=True)) as stop_request:
        printing()
        assert stop_request.signal == signal.SIGTERM


def test_a_signal_in_the_middle_of_a_print_before_the_training_ends_the_command(
    printing: Callable[[], None], capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.signal(signal.SIGTERM, terminated)
    try:
        with pytest.raises(Terminated):
            printing()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capfd.readouterr().err == "terminated\n"


SLOW_PLUGIN = """
import functools, time
import {module} as module
real = module.{function}
@functools.wraps(real)
def slow(*given, **named):
    open('slow', 'w').close()
    time.sleep(600)
module.{function} = slow
"""


@pytest.mark.parametrize(
    ("module", "function"),
    [("zoo_core.discovery", "registered_specs"), ("zoo_lenet.plugin", "zoo_backbones"), ("zoo_lenet.model", "lenet5")],
)
@pytest.mark.parametrize(
    ("signum", "code", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_while_a_plugin_is_at_work_ends_the_command(
    module: str, function: str, signum: int, code: int, word: str, tmp_path: Path, start
) -> None:
    """Seen to fail: SIGTERM was taken for the SystemExit of a plugin. It was skipped, and the command went on."""
    process = start("plan", "--backbone", "lenet5", slow=SLOW_PLUGIN.format(module=module, function=function))
    wait_for(process, (tmp_path / "slow").exists)
    process.send_signal(signum)
    _, words = process.communicate(timeout=20)
    assert process.returncode == code, words
    assert words.split() == [word]


SLOW_FRONT = """
import time
from zoo_core.frozen.feature_cache import FeatureCache
real = FeatureCache._start_prefix
FeatureCache._start_prefix = lambda self, *more: (time.sleep(0.3), real(self, *more))[1]
"""


def test_a_signal_while_features_are_computed_keeps_those_that_are_done(forks: Forks, place: Path, start) -> None:
    settings = (*LONG, "--epochs", 2, "--strategy", "head-only", "--cached-views", 4, "--workers", 1)
    process = start("finetune", *settings, "--out", "run", slow=SLOW_FRONT)
    wait_for(process, lambda: any(path.stat().st_size for path in (place / "cache").glob("features/*/rows")))
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 143, words
    assert "stopped while the frozen part was computed; what was computed is kept. Go on with: zoo resume run" in words
    assert "Traceback" not in words
    sizes = [index.stat().st_size for index in (place / "cache").glob("features/*/index")]
    entries = sum(size // ENTRY.itemsize for size in sizes)
    assert 0 < entries < 16 * 2 + 4, "two epochs see two views"
    assert forks.zoo("resume", "run", cwd=place).code == 0
    shutil.rmtree(place / "cache")
    assert forks.zoo("finetune", *settings, "--out", "whole", cwd=place).code == 0
    assert weights_of(place / "run") == weights_of(place / "whole")
