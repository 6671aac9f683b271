"""The command line as a user meets it: real processes, real files."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from warm_python import WarmPython

from helpers import Zoo, make_photos
from zoo_core.catalog import open_catalog
from zoo_core.cli.main import zoo as command_line
from zoo_core.specs import BackboneSpec

# timm's and torchvision's are too many for a run each: their plugins' own tests try them.
MANY = ("zoo-timm", "zoo-torchvision")
ENTRIES = [entry for entry in open_catalog().entries(BackboneSpec) if entry.distribution not in MANY]
EVERY_BACKBONE = [entry.spec for entry in ENTRIES]
SAMPLE = {
    entry.distribution: entry.spec for entry in sorted(ENTRIES, key=lambda entry: -(entry.spec.gmacs or 0))
}.values()
"""The cheapest backbone of each plugin."""


def test_list_shows_every_backbone_with_its_plugin(zoo: Zoo) -> None:
    answer = zoo("list")
    assert (answer.returncode, answer.stderr) == (0, "")
    for spec in EVERY_BACKBONE:
        assert spec.name in answer.stdout
    rows = json.loads(zoo("list", "--json").stdout)["backbones"]
    assert [row["name"] for row in rows if row["plugin"] not in MANY] == [spec.name for spec in EVERY_BACKBONE]
    assert {"params", "gmacs", "year", "weights", "plugin"} <= rows[0].keys()


@pytest.mark.parametrize(
    ("kind", "name"), [("heads", "mlp"), ("strategies", "head-only"), ("datasets", "fashion-small")]
)
def test_list_shows_the_other_kinds(zoo: Zoo, kind: str, name: str) -> None:
    assert name in zoo("list", kind).stdout
    assert name in {row["name"] for row in json.loads(zoo("list", kind, "--json").stdout)[kind]}


def test_info_tells_paper_stages_shapes_and_weights(zoo: Zoo) -> None:
    facts = json.loads(zoo("info", "resnet50", "--json").stdout)
    shapes = {stage["name"]: stage["output"] for stage in facts["stages"]}
    assert shapes["layer4"] == [2048, 7, 7]
    assert sum(stage["params"] for stage in facts["stages"]) == facts["params"]
    assert all(ref["licence"] for ref in facts["weights"])
    assert "arXiv:1512.03385" in zoo("info", "resnet50").stdout
    assert "n=<int>" in zoo("info", "last").stdout


def test_plugins_tells_what_each_registered(zoo: Zoo) -> None:
    rows = json.loads(zoo("plugins", "--json").stdout)["plugins"]
    by_name = {row["distribution"]: row for row in rows}
    assert by_name["zoo-resnet"]["backbones"] == ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
    assert all(row["failure"] is None for row in rows)


def test_plugins_can_be_left_out(zoo: Zoo) -> None:
    assert "resnet18" not in zoo("--no-plugins", "list").stdout
    left = zoo("list", "--json", env={"ZOO_DISABLE_PLUGINS": "zoo-resnet,zoo-vgg"})
    assert not {"resnet18", "vgg16"} & {row["name"] for row in json.loads(left.stdout)["backbones"]}
    assert "disabled by the user" in zoo("plugins", env={"ZOO_DISABLE_PLUGINS": "zoo-resnet"}).stdout


def test_a_first_fine_tune_runs_on_bundled_images_and_its_run_can_be_used(zoo: Zoo, tmp_path: Path) -> None:
    trained = zoo("finetune", "--backbone", "lenet5", "--strategy", "head-only", "--epochs", 2, "--json")
    assert trained.returncode == 0, trained.stderr
    answer = json.loads(trained.stdout)
    assert answer["run"] == "runs/lenet5-head-only-1"
    for told in ("frozen: c1, c3, c5", "1000 train, 500 val", "Accuracy on the validation images", "zoo predict runs/"):
        assert told in trained.stderr
    measured = json.loads(zoo("evaluate", answer["run"], "--json").stdout)
    assert (measured["accuracy"], measured["confusion"]) == (
        answer["result"]["accuracy"],
        answer["result"]["confusion"],
    )
    image = make_photos(tmp_path / "photos", count=1) / "red" / "0.jpg"
    predicted = json.loads(zoo("predict", answer["run"], image, "--top", 3, "--json").stdout)
    assert len(predicted["predictions"][0]["answers"]) == 3
    again = json.loads(
        zoo("finetune", "--backbone", "lenet5", "--strategy", "head-only", "--epochs", 1, "--json").stdout
    )
    assert again["run"] == "runs/lenet5-head-only-2"


def test_a_pretrained_backbone_classifies_with_its_original_classifier(zoo: Zoo, photos: Path) -> None:
    answer = zoo("predict", "lenet5", photos / "red" / "0.jpg", "--json")
    names = [one["class"] for one in json.loads(answer.stdout)["predictions"][0]["answers"]]
    assert len(names) == 5
    assert set(names) <= set("0123456789")


def test_evaluate_takes_other_images_of_the_same_classes(zoo: Zoo, photos: Path, tmp_path: Path) -> None:
    zoo("finetune", "--backbone", "lenet5", "--data", photos, "--epochs", 1, "--out", "run")
    other = make_photos(tmp_path / "other", count=3)
    assert json.loads(zoo("evaluate", "run", "--data", other, "--json").stdout)["images"] == 6
    (other / "only-test.csv").write_text("path,label,part\nred/1.png,red,test\nblue/1.png,blue,test\n")
    assert json.loads(zoo("evaluate", "run", "--data", other / "only-test.csv", "--json").stdout)["images"] == 2
    (photos / "red" / "0.jpg").unlink()
    changed = zoo("evaluate", "run")
    assert (changed.returncode, changed.stdout) == (1, "")
    assert "are not those that the run held out" in changed.stderr
    stranger = zoo("evaluate", "run", "--data", make_photos(tmp_path / "stranger", classes=("red", "green")))
    assert "has the class 'green', which the run does not know" in stranger.stderr


@pytest.mark.parametrize(
    "spec",
    [pytest.param(spec, marks=() if spec in SAMPLE else pytest.mark.whole, id=spec.name) for spec in EVERY_BACKBONE],
)
def test_every_backbone_fine_tunes_one_step_from_scratch_at_its_smallest_size(
    zoo: Zoo, tmp_path: Path, spec: BackboneSpec
) -> None:
    data = make_photos(tmp_path / "photos", count=3)
    answer = zoo(
        *("finetune", "--backbone", spec.name, "--weights", "none", "--image-size", spec.min_size, "--data", data),
        *("--epochs", 1, "--batch-size", 4, "--json"),
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["result"]["images"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["finetune", "--backbone", "resnet5"], 2, "error: No backbone 'resnet5'. Did you mean 'resnet50'?"),
        (["finetune"], 2, "Missing option '--backbone'"),
        (
            ["finetune", "--backbone", "lenet5", "--epochs", "0"],
            2,
            "'--epochs': must be a whole number of at least 1 and at most 10000, got 0",
        ),
        (
            ["finetune", "--backbone", "lenet5", "--epochs", "two"],
            2,
            "--epochs': must be a whole number of at least 1 and at most 10000, got 'two'",
        ),
        (["finetune", "--backbone", "lenet5", "--head", "mlp:hiden=3"], 2, "Did you mean 'hidden'?"),
        (["finetune", "--backbone", "lenet5", "--strategy", "last"], 2, "'last' needs the option 'n'"),
        (["finetune", "--backbone", "lenet5", "--strategy", "last:9"], 2, "this backbone has 3: c1, c3, c5"),
        (["finetune", "--backbone", "lenet5", "--image-size", "8"], 2, "'lenet5' needs images of at least 32 pixels"),
        (["finetune", "--backbone", "lenet5", "--data", "nowhere/"], 2, "the data folder nowhere does not exist"),
        (["finetune", "--backbone", "lenet5", "--data", "fashion"], 2, "no folder and no data set 'fashion'"),
        (["finetune", "--backbone", "lenet5", "--weights", "imagenet"], 2, "'lenet5' has no weights 'imagenet'"),
        (["finetune", "--backbone", "lenet5", "--device", "cuda:9"], 2, "the device 'cuda:9' is not here"),
        (["finetune", "--backbone", "lenet5", "--device", "tpu"], 2, "there is no device 'tpu'"),
        (["fintune"], 2, "No command 'fintune'. Did you mean 'finetune'?"),
        (["list", "cats"], 2, "'cats' is not one of"),
        (["info", "resnet5"], 2, "is called 'resnet5'. Did you mean 'resnet50'?"),
        (["evaluate", "runs/../x"], 2, "there is no run directory runs/../x"),
        (["evaluate", "nowhere/run"], 1, "there is no run directory nowhere/run, and the Hub does not give it"),
        (["evaluate", "nowhere"], 2, "There is no run directory 'nowhere' here. No backbone 'nowhere'."),
        (["predict", "lenet5", "nowhere.png"], 1, "nowhere.png is not there"),
        (["predict", "zfnet", "nowhere.png"], 2, "'zfnet' has no pretrained classifier"),
    ],
)
def test_wrong_input_ends_with_one_clear_message(zoo: Zoo, arguments: list[str], code: int, message: str) -> None:
    answer = zoo(*arguments)
    assert answer.returncode == code, answer.stderr
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


def empty_class(photos: Path) -> None:
    (photos / "green").mkdir()


def unreadable_image(photos: Path) -> None:
    (photos / "red" / "3.png").write_bytes(b"this is no image")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(empty_class, "the class 'green' has no images"), (unreadable_image, "3.png is not an image that can be read")],
)
def test_spoilt_images_end_with_one_clear_message(zoo: Zoo, photos: Path, spoil, message: str) -> None:
    spoil(photos)
    answer = zoo("finetune", "--backbone", "lenet5", "--data", photos)
    assert answer.returncode == 1
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not list(Path(photos.parent).glob("runs/*")), "a run that failed at once left its directory"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_each_shell(zoo: Zoo, shell: str) -> None:
    assert f"_ZOO_COMPLETE={shell}_complete" in zoo("completion", shell).stdout


def test_a_command_is_cold_for_the_variables_that_a_test_gives_and_warm_for_those_that_it_inherits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen to fail: OMP_WAIT_POLICY of a test never reached the command."""
    warm = WarmPython()
    assert not warm.differs({**os.environ})
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert not warm.differs({**os.environ})
    assert warm.differs({**os.environ, "OMP_WAIT_POLICY": "ACTIVE"})
    assert warm.differs({**os.environ, "GOMP_SPINCOUNT": "7"})
    assert warm.differs({**os.environ, "OMP_NUM_THREADS": "7"})


def test_the_shell_completes_names_of_backbones(zoo: Zoo) -> None:
    words = {"COMP_WORDS": "zoo finetune --backbone resnet1", "COMP_CWORD": "3", "_ZOO_COMPLETE": "bash_complete"}
    answer = zoo(env=words)
    assert {line.partition(",")[2] for line in answer.stdout.split()} == {"resnet18", "resnet101", "resnet152"}


def test_every_command_shows_an_example_in_its_help() -> None:
    """Seen to fail: the commands of `zoo plugin` were left out."""

    def shown(*words: str) -> str:
        return CliRunner().invoke(command_line, [*words, "--help"], prog_name="zoo").output

    def names(*words: str) -> list[str]:
        return re.findall(r"^  (\S+)", shown(*words).partition("Commands:")[2], re.MULTILINE)

    commands = [(name,) for name in names() if name not in ("completion", "plugin")]
    commands += [("plugin", name) for name in names("plugin")]
    assert len(commands) > 20
    for words in commands:
        command = " ".join(("zoo", *words))
        example = re.search(
            rf"^ *{command}( |$)", shown(*words).partition("Usage:")[2].partition("\n")[2], re.MULTILINE
        )
        assert example, f"{command} --help shows no example"


def test_plan_shows_what_a_strategy_would_do_and_draws_it(zoo: Zoo, tmp_path: Path) -> None:
    chosen = ("plan", "--backbone", "resnet18", "--strategy", "gradual:2", "--epochs", 6)
    shown = zoo(*chosen, "--plot", "plan.png")
    assert shown.returncode == 0, shown.stderr
    assert "epochs 5-6" in shown.stdout
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    answer = json.loads(zoo(*chosen, "--json").stdout)
    assert [phase["epochs"] for phase in answer["phases"]] == [2, 2, 2]
    layer3, layer4 = 2_099_712, 8_393_728  # resnet18's last two stages
    assert answer["learning_parameters"] == [0, layer4, layer3 + layer4]


def test_the_cache_is_shown_and_cleared(zoo: Zoo, tmp_path: Path) -> None:
    own = {"ZOO_CACHE": str(tmp_path / "cache")}
    zoo("finetune", "--backbone", "lenet5", "--strategy", "head-only", "--epochs", 1, env=own)
    before = {one["kind"]: one["bytes"] for one in json.loads(zoo("cache", "--json", env=own).stdout)["kept"]}
    assert before["features"] > 1500 * 2 * 100, "every image's feature map, in half precision"
    assert "features" in zoo("cache", "--clear", env=own).stdout
    after = {one["kind"]: one["bytes"] for one in json.loads(zoo("cache", "--json", env=own).stdout)["kept"]}
    assert (after["features"], after["plugins"]) == (0, before["plugins"])
