"""The folder of a container: the server in it has the options that were given, and whatever it
cannot have is refused; and the addresses that a server cannot have."""

from __future__ import annotations

import json
import re
import shlex

import pytest

import zoo_core
from zoo_core import FinetuneConfig, UsageError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return zoo_core.finetune(FinetuneConfig(backbone="lenet5", epochs=1, out=str(out))).directory


def command_in(folder):
    (line,) = re.findall(r"^CMD (\[\"zoo.*)$", (folder / "Dockerfile").read_text(), re.MULTILINE)
    return json.loads(line)


BEGIN = ["zoo", "serve", "/srv/model", "--host", "0.0.0.0", "--port", "8000"]


def test_the_server_of_a_container_has_the_given_options(called, run, tmp_path, monkeypatch):
    """Seen to fail: --reject, --top, --threshold and the limits were dropped without a word."""
    monkeypatch.setenv("ZOO_SERVE_TOKEN", "secret")
    given = ["--top", "2", "--threshold", "0.3", "--reject", "--max-images", "4", "--timeout", "5.0"]
    called("serve", run, *given, "--dockerfile", tmp_path / "a")
    assert command_in(tmp_path / "a") == [*BEGIN, *given]
    assert "secret" not in (tmp_path / "a" / "Dockerfile").read_text()
    called("serve", run, "--dockerfile", tmp_path / "b")
    assert command_in(tmp_path / "b") == BEGIN


@pytest.mark.parametrize(
    ("option", "value"),
    [("--host", "0.0.0.0"), ("--port", 9000), ("--token", "a"), ("--device", "cuda"), ("--weights", "none")],
)
def test_an_option_that_a_container_cannot_have_is_refused(called, run, tmp_path, option, value):
    with pytest.raises(UsageError, match=rf"--dockerfile takes no {option}: .*\. Leave it out\."):
        called("serve", run, option, value, "--dockerfile", tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("name", "tag"), [("my service é", "my-service-e"), ("日本", "zoo"), ("Fotos_2", "fotos-2"), ("it's", "it-s")]
)
def test_the_commands_for_a_folder_of_any_name_can_be_pasted(called, run, tmp_path, name, tag):
    """Seen to fail: blanks parted a path, and docker takes no tag with letters beyond ASCII."""
    folder = tmp_path / name
    called("serve", run, "--dockerfile", folder)
    lines = [shlex.split(line) for line in (folder / "README.txt").read_text().splitlines() if line.startswith("   ")]
    wheel, build, start = lines
    assert wheel[:5] == ["pip", "wheel", "--no-deps", "-w", str(folder / "wheels")]
    assert build == ["docker", "build", "-t", tag, str(folder)]
    assert start[-1] == tag


def test_a_place_that_cannot_be_made_and_a_file_are_no_faults_of_the_plugin(called, run, tmp_path):
    """Seen to fail: the plugin was blamed, and for an exported file a fine-tuning was advised."""
    (tmp_path / "plain.jpg").write_bytes(b"")
    for place in (tmp_path / "plain.jpg" / "x", "/proc/x"):
        with pytest.raises(UsageError, match=rf"'{place}' cannot be written: .*give another --dockerfile"):
            called("serve", run, "--dockerfile", place)
    with pytest.raises(UsageError, match="is an exported file; a container is written for a run"):
        called("serve", tmp_path / "plain.jpg", "--dockerfile", tmp_path / "a")


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("203.0.113.7", r"203\.0\.113\.7:8000 cannot be had: .* It is no address of this machine: give another --host"),
        ("no such host", "there is no address 'no such host'"),
    ],
)
def test_an_address_of_another_machine_is_refused_before_the_model_is_loaded(called, tmp_path, host, told):
    """Seen to fail: after a trial of the network, with the advice to give another port."""
    with pytest.raises(UsageError, match=told):
        called("serve", tmp_path / "no-run", "--host", host)
