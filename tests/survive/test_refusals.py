"""Row 4: a run goes on only with what it began with, once at a time; what was tampered with is named.

Seen to fail: without `differences` (the changed run went on), without the content in a part's digest (changed pixels),
without the lock (two runs wrote to one directory), without the checks of `TrainerState` (a traceback, or no error at all),
without the hash of the tensors (flipped weights went on to be trained), without the number of processes.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from survive.support import weights_of
from survive.test_interruptions import stopped_at
from zoo_core.catalog import Catalog
from zoo_core.cli.main import zoo as command
from zoo_core.errors import TrainingError, UsageError, ZooError
from zoo_core.runs.differences import differences
from zoo_core.runs.schema import parse_facts
from zoo_core.settings import FinetuneConfig
from zoo_core.training.callback import NullCallback
from zoo_core.training.job import prepare
from zoo_core.training.run import resume, run_job
from zoo_core.version import RESUMES

CONFIG = FinetuneConfig(backbone="lenet5", strategy="full", epochs=3, batch_size=4)


@pytest.fixture
def run(photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was stopped in its second epoch."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    config = replace(CONFIG, data=str(photos), out=str(tmp_path / "run"))
    assert stopped_at(6, lambda callback: run_job(prepare(config, catalog), callback), monkeypatch)
    return tmp_path / "run"


def other_pixels(photos: Path, config: dict[str, Any]) -> None:
    """The same file name with other content: what a digest of names alone does not see."""
    Image.new("RGB", (40, 40), "green").save(photos / "red" / "3.png")


def one_more(photos: Path, config: dict[str, Any]) -> None:
    Image.new("RGB", (40, 40), "green").save(photos / "red" / "new.png")


def one_less(photos: Path, config: dict[str, Any]) -> None:
    (photos / "red" / "3.png").unlink()


def other_class(photos: Path, config: dict[str, Any]) -> None:
    (photos / "red").rename(photos / "scarlet")


def other_plugin(photos: Path, config: dict[str, Any]) -> None:
    config["backbone"]["version"] = "0.0.1"


def other_torch(photos: Path, config: dict[str, Any]) -> None:
    config["torch"] = "2.0.0"


def other_zoo(photos: Path, config: dict[str, Any]) -> None:
    config["zoo_core"] = "0.0.1"


def other_option(photos: Path, config: dict[str, Any]) -> None:
    config["config"]["strategy"] = "head-only"


def test_a_run_that_an_older_version_began_is_resumed_where_this_one_finishes_it_alike(
    run: Path, catalog: Catalog
) -> None:
    """Without the list of such versions every interrupted run of 0.1.0 was lost with the change of the version."""
    config = json.loads((run / "config.json").read_text())
    for version in RESUMES:
        config["zoo_core"] = config["head"]["version"] = config["strategy"]["version"] = version
        facts = parse_facts(config, "config.json")
        assert differences(facts, parse_facts(json.loads((run / "config.json").read_text()), "config.json")) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (other_pixels, "data.digests."),
        (one_more, "data.images.train was 16 and is "),
        (one_less, "data.digests."),
        (other_class, "classes was ['blue', 'red'] and is ['blue', 'scarlet']"),
        (other_plugin, "backbone.version was '0.0.1' and is "),
        (other_torch, "torch was '2.0.0' and is "),
        (other_zoo, "zoo_core was '0.0.1' and is "),
        (other_option, "strategy.name was 'full' and is 'head-only'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_run_is_not_resumed_with_anything_else_and_it_is_said_what(
    run: Path, photos: Path, catalog: Catalog, change: Callable[[Path, dict[str, Any]], None], named: str
) -> None:
    config = json.loads((run / "config.json").read_text())
    change(photos, config)
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ZooError) as caught:
        resume(run, catalog, NullCallback())
    assert f"cannot resume {run}; these have changed since it started:" in str(caught.value)
    assert named in str(caught.value)
    assert list((run / "checkpoints").iterdir()), "a refusal costs nothing"


def test_an_option_that_differs_is_refused(run: Path) -> None:
    with pytest.raises(UsageError, match=r"has --lr 0.01 and cannot be resumed with 1.0. Leave the option out."):
        command.main(["finetune", "--resume", str(run), "--lr", "1"], standalone_mode=False)
    with pytest.raises(UsageError, match="has --epochs 3 and cannot be resumed with 4"):
        command.main(["finetune", "--resume", str(run), "--epochs", "4"], standalone_mode=False)
    command.main(["finetune", "--resume", str(run), "--epochs", "3"], standalone_mode=False)
    assert weights_of(run)


def test_a_run_that_another_process_writes_is_refused(run: Path, catalog: Catalog) -> None:
    holding = (
        "import sys, filelock\n"
        f"lock = filelock.FileLock({str(run / '.lock')!r}); lock.acquire()\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", holding], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(ZooError, match="another process is writing to .*run. Wait for it, or stop it first."):
        resume(run, catalog, NullCallback())
    other.send_signal(signal.SIGKILL)
    other.communicate()
    resume(run, catalog, NullCallback())  # the lock of a process that was killed holds nobody up
    assert weights_of(run)


def test_a_finished_run_is_told_and_loses_what_was_left_in_it(run: Path, catalog: Catalog) -> None:
    saved = {path: path.read_bytes() for path in (run / "checkpoints").rglob("*") if path.is_file()}
    resume(run, catalog, NullCallback())
    before = weights_of(run)
    for path, content in saved.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(UsageError, match="is finished. `zoo evaluate .*run` measures it."):
        resume(run, catalog, NullCallback())
    assert weights_of(run) == before


def test_a_run_without_a_checkpoint_starts_at_its_beginning(run: Path, catalog: Catalog, tmp_path: Path) -> None:
    for path in (run / "checkpoints").rglob("*.*"):
        path.unlink()
    with pytest.raises(TrainingError, match="is damaged, and there is no other. Remove .*checkpoints to start"):
        resume(run, catalog, NullCallback())
    for path in (run / "checkpoints").iterdir():
        path.rmdir()
    resume(run, catalog, NullCallback())
    config = json.loads((run / "config.json").read_text())["config"]
    whole = FinetuneConfig.from_dict({**config, "out": str(tmp_path / "whole")})
    run_job(prepare(whole, catalog), NullCallback())
    assert weights_of(run) == weights_of(tmp_path / "whole")


def test_a_run_goes_on_only_with_room_for_what_it_kept(
    photos: Path, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With less it would see other variants of the images. Seen to fail without the choice in the checkpoint."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    config = replace(CONFIG, strategy="last:1", data=str(photos), out=str(tmp_path / "run"))
    assert stopped_at(6, lambda callback: run_job(prepare(config, catalog), callback), monkeypatch)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**9, 10**9, 0))
        resume(
            shutil.copytree(tmp_path / "run", tmp_path / "copy"), catalog, NullCallback()
        )  # what is kept has its room
        shutil.rmtree(tmp_path / "cache")
        with pytest.raises(
            TrainingError, match="'3 views after stage 2' .* room for '0 views .* Free space on the disk"
        ):
            resume(tmp_path / "run", catalog, NullCallback())
    resume(tmp_path / "run", catalog, NullCallback())
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "copy")


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state["position"].update(epoch=4), "epoch 4, step 2 is not in it"),
        (lambda state: state["position"].update(epoch=3), "epoch 3, step 2 is not in it"),
        (lambda state: state["position"].update(step=5), "epoch 1, step 5 is not in it"),
        (lambda state: state["position"].update(step=-1), "step -1 is not in it"),
        (lambda state: state["position"].update(step=1.5), "step cannot be 1.5"),
        (lambda state: state["position"].update(step=True), "step cannot be True"),
        (lambda state: state["position"].update(epoch="one"), "epoch cannot be 'one'"),
        (lambda state: state["position"].update(loss_sum=float("nan")), "loss_sum cannot be nan"),
        (lambda state: state["position"].update(more=1), "is no position"),
        (lambda state: state.update(position=[]), "is no position"),
        (lambda state: state.pop("position"), "'position'"),
        (lambda state: state.update(history=[]), "its history does not lead to epoch 1"),
        (lambda state: state.update(history=[{}]), "is no epoch report"),
        (lambda state: state.update(history=3), "not iterable"),
        (lambda state: state.update(history=nested(500)), "is no epoch report"),
        (lambda state: state["history"].append(state["history"][0]), "its history does not lead to epoch 1"),
        (lambda state: state.update(micro_batch=0), "micro_batch cannot be 0"),
        (lambda state: state.update(micro_batch="x"), "micro_batch cannot be 'x'"),
        (lambda state: state.update(processes=None), "processes cannot be None"),
        (lambda state: state.update(processes=3), "was trained in 3 processes, and cannot go on in 1"),
        (lambda state: state.update(kept=3), "kept cannot be 3"),
        (lambda state: state.update(kept="\x1b[2J" * 999), "of the frozen part, and there is room for '0 views"),
        (lambda state: state.update(version=2), "was written by another zoo-core"),
        (lambda state: state.update(sha256="0"), "is damaged, and there is no other"),
        (lambda state: state.update(fill="x" * 65 * 2**20), "is damaged, and there is no other"),
    ],
)
def test_a_checkpoint_that_was_tampered_with_is_refused(
    run: Path, catalog: Catalog, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    (path,) = (run / "checkpoints").rglob("state.json")
    state = json.loads(path.read_text())
    change(state)
    path.write_text(json.dumps(state))
    with pytest.raises(TrainingError) as caught:
        resume(run, catalog, NullCallback())
    assert said in str(caught.value)


def test_a_flipped_bit_in_the_weights_of_a_checkpoint_is_found(
    run: Path, photos: Path, tmp_path: Path, catalog: Catalog
) -> None:
    """Safetensors has no checksum of its own. Where there is a whole one beside it, that one serves."""
    (whole,) = (run / "checkpoints").iterdir()
    flipped = run / "checkpoints" / f"{int(whole.name) + 1:010d}"
    shutil.copytree(whole, flipped)
    content = bytearray((flipped / "tensors.safetensors").read_bytes())
    content[-1] ^= 1
    (flipped / "tensors.safetensors").write_bytes(content)
    kept = tmp_path / "kept"
    whole.rename(kept)
    with pytest.raises(TrainingError, match="is damaged, and there is no other"):
        resume(run, catalog, NullCallback())
    kept.rename(whole)
    resume(run, catalog, NullCallback())
    config = replace(CONFIG, data=str(photos), out=str(tmp_path / "uninterrupted"))
    run_job(prepare(config, catalog), NullCallback())
    assert weights_of(run) == weights_of(tmp_path / "uninterrupted")


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"a": 1' + "0" * 5000 + "}", "\ud800"])
def test_a_checkpoint_that_is_no_json_is_refused(run: Path, catalog: Catalog, text: str) -> None:
    (path,) = (run / "checkpoints").rglob("state.json")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(TrainingError, match="is damaged, and there is no other"):
        resume(run, catalog, NullCallback())
    assert path.exists()
