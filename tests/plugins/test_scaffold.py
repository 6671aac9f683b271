"""`zoo plugin new`: every kind is installed in a fresh environment, passes its tests, works, and goes again."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torchvision
from click.testing import CliRunner, Result

from zoo_core.cli.main import zoo as command_line
from zoo_core.errors import UsageError
from zoo_core.scaffold import KINDS, torchvision_cut
from zoo_core.specs import resolve

ROOT = Path(__file__).parents[2]
LONGEST = "a" * 38 + "-z"
MADE = {  # the arguments for each plugin
    "blank": (),
    "cut": ("--from", "torchvision:shufflenet_v2_x0_5"),
    "timmnet": ("--from", "timm:repghostnet_050"),
    "top": ("--kind", "head"),
    "thaw": ("--kind", "strategy"),
    "stripes": ("--kind", "dataset"),
    "few": ("--kind", "command"),
    "close": ("--kind", "metric"),
    "traced": ("--kind", "exporter"),
    "turned": ("--kind", "augmentation"),
    "lines": ("--kind", "tracker"),
    LONGEST: (),
}
INSTALLED = [name for name in MADE if name not in (LONGEST, "timmnet")]  # zoo-timm's own tests build its networks
ANY_BACKBONE = ("top", "thaw", "stripes", "turned", "lines")
"""Those that go with any backbone."""
TRIED = [name for name in INSTALLED if "--from" not in MADE[name]]
"""One plugin of each kind. Those of cut networks, which are larger, are tried by their own tests."""


def zoo(*arguments: str) -> Result:
    return CliRunner().invoke(command_line, arguments)


def new(*arguments: str) -> Result:
    return zoo("plugin", "new", *arguments)


def refusal(*arguments: str) -> str:
    """The message with which a request is refused; it is one line, and nothing was written."""
    before = sorted(Path().rglob("*"))
    error = new(*arguments).exception
    assert isinstance(error, UsageError), error
    assert sorted(Path().rglob("*")) == before
    assert "\n" not in str(error)
    return str(error)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a plugin of each kind, as the command made them."""
    folder = tmp_path_factory.mktemp("made")
    before = Path.cwd()
    os.chdir(folder)
    for name, arguments in MADE.items():
        answer = new(name, *arguments)
        assert answer.exit_code == 0, answer.exception
        Path(f"{name}.txt").write_text(answer.output.partition("Next:\n")[2])
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def site(place: Path) -> Iterator[Path]:
    """The packages of a fresh environment that sees those of this one, with the new plugins in it; at last without."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "venv"], check=True)
    (packages,) = Path("venv").glob("lib/python*/site-packages")
    lines = [f"import site; site.addsitedir({path!r})\n" for path in sys.path if path.endswith("-packages")]
    (packages / "seen.pth").write_text("".join(lines))
    commands = [shlex.split((place / f"{name}.txt").read_text().splitlines()[0]) for name in INSTALLED]
    assert {tuple(command[:3]) for command in commands} == {("pip", "install", "-e")}
    folders = [part for command in commands for part in command[2:]]
    pip("install", "--no-deps", "--no-build-isolation", *folders)
    yield packages.resolve()
    pip("uninstall", "--yes", *(f"zoo-{name}" for name in INSTALLED))
    assert not list(packages.glob("*zoo_*"))


def pip(*arguments: str) -> None:
    command = ["venv/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def seen(place: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """zoo sees the new plugins, in this process and those that it starts."""
    paths = [site, *(place / f"zoo-{name}" / "src" for name in INSTALLED)]
    for path in paths:
        monkeypatch.syspath_prepend(path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
    monkeypatch.chdir(tmp_path)
    yield
    packages = {f"zoo_{name}" for name in INSTALLED}
    for module in [module for module in sys.modules if module.partition(".")[0] in packages]:
        del sys.modules[module]


def test_each_plugin_passes_its_own_tests(place: Path, site: Path) -> None:
    """All of them but those that import torch's compiler, which takes 15 seconds."""
    folders = [f"zoo-{name}/tests" for name in INSTALLED]
    command = [
        *(
            "venv/bin/python",
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            "not exported and not compiled and not alike",
        )
    ]
    options = ["--import-mode=importlib", "--rootdir", str(place), "-W", "error"]
    done = subprocess.run([*command, *options, *folders], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize("name", TRIED)
@pytest.mark.usefixtures("seen")
def test_its_next_commands_work(place: Path, name: str) -> None:
    check, use = (place / f"{name}.txt").read_text().splitlines()[1:]
    if " RUN " in use:
        assert zoo("finetune", "--backbone", "lenet5", "--epochs", "1", "--out", "run").exit_code == 0
        use = use.replace(" RUN ", " run ")
    assert check.strip() == f"zoo plugin check zoo-{name}"
    answer = zoo(*shlex.split(use)[1:])
    assert answer.exit_code == 0, answer.stderr
    if name == "few":
        assert "lenet5: 0.06 M" in answer.stdout
        checked = zoo("plugin", "check", f"zoo-{name}", "--fast")
        assert checked.exit_code == 0, checked.output
    elif name == "close":
        assert re.search(r"^close: 0\.\d+$", answer.stdout, re.MULTILINE)
    elif name == "traced":
        assert "the largest difference of an answer is" in answer.stdout
        assert Path("run/model.pt2").is_file()
    else:
        assert "Accuracy on the validation images" in answer.stderr


@pytest.mark.usefixtures("seen")
def test_each_plugin_is_listed() -> None:
    shown = zoo("plugins")
    assert shown.stderr == ""
    for told in (
        "backbones: blank",
        "heads: top",
        "strategies: thaw",
        "datasets: stripes",
        "commands: few",
        "metrics: close",
        "exporters: traced",
        "augmentations: turned",
        "trackers: lines",
    ):
        assert told in shown.stdout
    assert "few " in zoo("--help").stdout.partition("Commands of plugins:")[2]


def test_each_plugin_is_written_as_its_own_settings_ask(place: Path) -> None:
    folders = [f"zoo-{name}" for name in MADE]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", *folders], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_plugin_is_typed(place: Path) -> None:
    """With this checkout's settings, whose cache knows torch already; those of the plugins are as strict."""
    assert all(
        tomllib.loads((place / f"zoo-{name}/pyproject.toml").read_text())["tool"]["mypy"]["strict"] for name in MADE
    )
    packages = [f"zoo_{name.replace('-', '_')}" for name in MADE]
    command = [sys.executable, "-m", "mypy", *(word for package in packages for word in ("-p", package))]
    sources = os.pathsep.join(str(place / f"zoo-{name}" / "src") for name in MADE)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "MYPYPATH": sources})
    assert done.returncode == 0, done.stdout


def test_the_packages_files_are_whole(place: Path) -> None:
    for name in MADE:
        folder = place / f"zoo-{name}"
        facts = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert (facts["name"], facts["license"]) == (f"zoo-{name}", "MIT")
        assert list(facts["entry-points"]["zoo"]) == [name]
        assert (folder / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n\nCopyright (c) 20")
        assert (folder / ".github/workflows/ci.yml").is_file()
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                assert not {"TODO", "{{", "{%", "FIXME"} & set(path.read_text(encoding="utf-8").split()), path


def test_a_readme_has_commands_for_its_own_folder_and_any_backbone(place: Path) -> None:
    """Seen to fail: it named the parent folder, and the smallest backbone that its author had."""
    for name in MADE:
        text = Path(f"zoo-{name}/README.md").read_text(encoding="utf-8")
        assert f"pip install -e .\nzoo plugin check zoo-{name}\nzoo " in text
        assert ("--backbone NAME" in text) == ("any backbone from `zoo list`" in text) == (name in ANY_BACKBONE), name


def test_files_of_an_older_torchvision_are_translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail: a DenseNet's weights had no `keys`, so the new plugin could not load them, and BSD as licence."""
    monkeypatch.chdir(tmp_path)
    small = {"growth_rate": 4, "block_config": (1, 1), "num_init_features": 8, "bn_size": 1}
    monkeypatch.setattr(torchvision_cut, "_network", lambda name: torchvision.models.DenseNet(**small).eval())
    assert new("dense", "--from", "torchvision:densenet121").exit_code == 0
    monkeypatch.syspath_prepend("zoo-dense/src")
    (spec,) = importlib.import_module("zoo_dense.plugin").zoo_backbones()
    (ref,) = spec.weights
    assert (ref.sources[0].keys, ref.licence) == ("zoo_dense.model:keys", "unknown")
    expected = torchvision.models.DenseNet(**small).state_dict()
    published = {re.sub(r"(denselayer\d+\.[a-z]+)([12])", r"\1.\2", key): one for key, one in expected.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in published
    assert set(resolve(ref.sources[0].keys)(published)) == set(expected)
    for command in (["check"], ["format", "--check"]):
        assert subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache", "zoo-dense"]).returncode == 0


@pytest.mark.parametrize(
    "name", ["", "zoo-", "MyNet", "my net", "1net", "net-", "a--b", "../net", "nét", "x" * 41, "a.b"]
)
def test_a_name_that_cannot_be_used_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = refusal(name)
    assert "cannot be the name of a plugin: it begins with a letter" in message
    assert ("Try 'mynet'." in message) == (name == "MyNet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lenet5",), "The backbone 'lenet5' is provided by zoo-lenet already. Choose another name."),
        (("linear", "--kind", "head"), "The head 'linear' is provided by zoo-core already."),
        (("list", "--kind", "command"), "The command 'list' is provided by zoo-core already."),
        (("none", "--kind", "tracker"), "the tracker name 'none' cannot be used: zoo takes auto and none for words of"),
        (("auto", "--kind", "metric"), "the metric name 'auto' cannot be used: zoo takes auto for words of its own"),
        (("auto",), "the backbone name 'auto' cannot be used: "),
        (("crop-flip", "--kind", "augmentation"), "'crop-flip' cannot be used: zoo takes auto and"),
        (("core", "--kind", "head"), "A package zoo_core is installed already."),
        (("resnet", "--kind", "head"), "A package zoo_resnet is installed already."),
        (("net", "--from", "keras:vgg"), "--from takes torchvision:ARCH, timm:ARCH or blank, and got 'keras:vgg'."),
        (("net", "--from", "timm:"), "--from takes torchvision:ARCH, timm:ARCH or blank, and got 'timm:'."),
        (("net", "--from", "torchvision:resnet19"), "no classification network 'resnet19'. Did you mean 'resnet1"),
        (("net", "--from", "torchvision:vit_b_16"), "'vit_b_16' cannot be cut into stages: its calls are no row"),
        (
            ("net", "--from", "torchvision:swin_t"),
            "'swin_t' cannot be cut into stages: 'features' puts out (7, 7, 768)",
        ),
        (("net", "--from", "torchvision:regnet_y_400mf"), "torchvision computes with its first numbers"),
        (("net", "--from", "torchvision:googlenet"), "is not on the way from the image to the classes"),
        (("net", "--from", "timm:repghostnet_51"), "zoo-timm cuts no network 'repghostnet_51'. Did you mean"),
        (("top", "--kind", "head", "--from", "timm:x"), "--from is for backbones, and this is a head."),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_in_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refusal(*arguments)


def test_a_folder_that_exists_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("zoo-net").mkdir()
    Path("zoo-net/mine.txt").write_text("mine")
    assert refusal("net") == "zoo-net exists already. Choose another name, or move it away."


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_library_that_is_not_installed_is_named_with_the_way_to_get_it(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    message = refusal("net", "--from", f"{library}:resnet18")
    assert f"{library} is not installed" in message
    assert "`pip install " in message


def test_without_zoo_timm_the_message_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoo_core.discovery.installed_plugins", lambda: [])
    message = refusal("net", "--from", "timm:resnet18")
    assert message.startswith("zoo-timm cuts timm's networks, and it is not installed: `pip install ")
    assert "plugins/zoo-timm" in message


@pytest.mark.parametrize("name", ["lora", "zoo-timm"])
def test_the_name_of_a_known_plugin_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    known = f"zoo-{name.removeprefix('zoo-')}"
    assert refusal(name, "--kind", "head") == f"{known} is a known plugin already. Choose another name."


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "write_text", lambda *given, **named: (_ for _ in ()).throw(OSError("no space")))
    assert isinstance(new("net").exception, OSError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("answer", "name"), [('Ada "L" Ö\n', 'Ada \\"L\\" Ö'), ("\n", "the authors")])
def test_the_author_is_the_one_that_git_knows(
    answer: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = subprocess.CompletedProcess([], 0, stdout=answer)
    monkeypatch.setattr("zoo_core.scaffold.package.subprocess.run", lambda *given, **named: done)
    assert new("net").exit_code == 0
    assert f'authors = [{{ name = "{name}" }}]' in Path("zoo-net/pyproject.toml").read_text(encoding="utf-8")


def test_the_command_offers_every_kind() -> None:
    from zoo_core.cli.plugin_new import KINDS as OFFERED

    assert sorted(KINDS) == sorted(OFFERED)
