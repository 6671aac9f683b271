"""A page as a static Space: two files in one commit, beside the model of the same name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from huggingface_hub import constants

import zoo_core
from helpers import make_photos
from hubserver import TestHub
from zoo_core.cli.main import zoo as command_line
from zoo_core.errors import HubError, UsageError, ZooError
from zoo_core.hub.space import publish_space
from zoo_core.settings import FinetuneConfig

REPO, SPACE = "alice/pets", "spaces/alice/pets"
TOKEN = "hf_alicestoken"
PAGE = "<!doctype html><title>Try the model</title>"

# The client's own upload of large files warns of itself.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("space")
    config = FinetuneConfig(backbone="lenet5", data=str(make_photos(root / "pets")), epochs=1, out=str(root / "run"))
    return zoo_core.finetune(config).directory


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "model.html"
    path.write_text(PAGE)
    return path


@pytest.fixture
def alice(hub: TestHub, monkeypatch: pytest.MonkeyPatch) -> TestHub:
    """The Hub with a user who may write."""
    hub.add_token(TOKEN, user="alice")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", False)
    return hub


def zoo(*arguments: object) -> Result:
    return CliRunner().invoke(command_line, [str(one) for one in arguments])


def front_matter(card: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(card.split("---")[1])
    return found


def test_a_page_becomes_a_space_and_once_only(alice: TestHub, run: Path, page: Path) -> None:
    done = publish_space(run, REPO, page)
    files = alice.files(SPACE)
    assert done.url == f"{alice.url}/spaces/{REPO}"
    assert done.commit == alice.head(SPACE)
    assert files["index.html"].decode() == PAGE
    told = front_matter(files["README.md"].decode())
    assert told == {
        "title": "pets",
        "sdk": "static",
        "app_file": "index.html",
        "license": "apache-2.0",
        "tags": ["zoo"],
    }
    assert publish_space(run, REPO, page).already_there
    page.write_text(PAGE + "more")
    with pytest.raises(UsageError, match="index.html. --update replaces it"):
        publish_space(run, REPO, page)
    publish_space(run, REPO, page, update=True)
    assert [one.title for one in alice.commits(SPACE)][:-1] == ["Publish a page made with zoo"] * 2


def test_the_model_of_the_same_name_is_another_repository(alice: TestHub, run: Path, page: Path) -> None:
    zoo_core.publish(run, REPO)
    publish_space(run, REPO, page)
    assert "index.html" not in alice.files(REPO)
    assert "model.safetensors" not in alice.files(SPACE)


def test_a_lost_answer_makes_no_second_commit(alice: TestHub, run: Path, page: Path) -> None:
    alice.fault("POST", f"/api/{SPACE}/commit/", times=1, drop_answer=True)
    publish_space(run, REPO, page)
    assert len(alice.commits(SPACE)) == 2


def test_a_missing_token_and_an_odd_name_are_told(hub: TestHub, run: Path, page: Path) -> None:
    with pytest.raises(HubError, match="hf auth login"):
        publish_space(run, REPO, page)
    with pytest.raises(UsageError, match="'pets' is not a Space"):
        publish_space(run, "pets", page)


def test_from_the_command_line(alice: TestHub, run: Path) -> None:
    """The page is written, checked and published; a dry run sends nothing."""
    shown = zoo("publish", run, REPO, "--space", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "sdk: static" in shown.output
    assert "index.html" in shown.output
    done = zoo("publish", run, REPO, "--space")
    assert done.exit_code == 0, done.output
    assert f"Published as {alice.url}/spaces/{REPO}" in done.output.replace("\n", "")
    assert b'<script id="model"' in alice.files(SPACE)["index.html"]
    assert not list(run.glob("*.html"))


def test_what_does_not_go_with_a_space_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = zoo("publish", run, REPO, "--space", "--timm")
    assert isinstance(refused.exception, UsageError)
    assert "leave out --timm" in str(refused.exception)
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "zoo-page")
    without = zoo("publish", run, REPO, "--space")
    assert isinstance(without.exception, UsageError)
    assert "zoo-page, which is not installed: `pip install" in str(without.exception)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("pets",), "'pets' is not a Space"),
        ((REPO, "--update", "--pr"), "leave one out"),
        ((REPO,), "HF_HUB_OFFLINE forbids the network"),
    ],
)
def test_no_page_is_made_for_a_space_that_cannot_be(
    run: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], told: str
) -> None:
    """Seen to fail: the page was written and checked on all images before the name was looked at."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("zoo_core.exporting.export.export_run", lambda *_, **__: pytest.fail("a page was made"))
    ended = zoo("publish", run, *given, "--space")
    assert isinstance(ended.exception, ZooError)
    assert told in str(ended.exception)
