"""A plugin of somebody else, written here and installed with pip; a broken one beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import Zoo, make_table

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.3"

[project.entry-points.zoo]
{module} = "{module}.plugin"
"""

PLUGIN = '''
from zoo_core import BackboneSpec, FreezeSpec, HeadSpec, Paper, Preprocessing, hookimpl
from dataclasses import dataclass

from zoo_core.freezing.plan import FROZEN, LEARNING, Phase, Plan


@dataclass(frozen=True)
class Depth:
    hidden: int = 4


def halves(options, *, stages, epochs):
    """Head first, then everything."""
    first = epochs // 2
    return Plan(
        stages=stages,
        phases=(
            Phase(epochs=first, rules=(*[FROZEN] * len(stages), LEARNING)),
            Phase(epochs=epochs - first, rules=(LEARNING,) * (len(stages) + 1)),
        ),
    )


@hookimpl
def zoo_backbones():
    half = (0.5, 0.5, 0.5)
    return [
        BackboneSpec(
            name="mininet",
            build="zoo_mini.model:mininet",
            stages=("stem", "body"),
            channels=8, stride=2, min_size=8, year=2026,
            paper=Paper(title="Mini", authors="A. Author", venue="Here", year=2026),
            preprocessing=Preprocessing(size=16, mean=half, std=half),
        )
    ]


@hookimpl
def zoo_heads():
    tasks = ("multilabel", "regression")
    grid = "reads the whole map, with a loss of its own"
    return [
        HeadSpec(name="corner", build="zoo_mini.model:corner", summary="looks at one corner"),
        HeadSpec(name="grid", build="zoo_mini.model:Grid", options=Depth, tasks=tasks, needs_size=True, summary=grid),
        HeadSpec(name="centroid", build="zoo_mini.model:Centroid", summary="solved, not trained"),
    ]


@hookimpl
def zoo_strategies():
    return [FreezeSpec(name="halves", plan="zoo_mini.plugin:halves", summary="head first, then everything")]
'''

MODEL = """
import torch
from torch import nn
from zoo_core.model.chain import Chain


def mininet(options):
    body = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    return Chain({"stem": nn.Conv2d(3, 4, 3, stride=2, padding=1), "body": body})


class Corner(nn.Module):
    def __init__(self, channels, outputs):
        super().__init__()
        self.output = nn.Linear(channels, outputs)

    def forward(self, features_BCHW):
        return self.output(features_BCHW[:, :, 0, 0])


def corner(options, *, in_channels, num_outputs):
    return Corner(in_channels, num_outputs)


class Grid(nn.Module):
    def __init__(self, options, *, in_channels, num_outputs, in_size):
        super().__init__()
        height, width = in_size
        self.hidden = nn.Linear(in_channels * height * width, options.hidden)
        self.output = nn.Linear(options.hidden, num_outputs)

    def forward(self, features_BCHW):
        return self.output(self.hidden(features_BCHW.flatten(1)).relu())

    def loss(self, outputs, targets):
        return 1000 + (outputs - targets).abs().mean()


class Centroid(nn.Module):
    def __init__(self, options, *, in_channels, num_outputs):
        super().__init__()
        self.centres = nn.Parameter(torch.zeros(num_outputs, in_channels))

    def reduce(self, features_BCHW):
        return features_BCHW.mean((2, 3))

    def fit(self, reduced_NF, targets_N, seed):
        for label, centre in enumerate(self.centres.data):
            centre.copy_(reduced_NF[targets_N == label].mean(0))

    def forward(self, features_BCHW):
        return -torch.cdist(self.reduce(features_BCHW), self.centres)
"""


def write_plugin(folder: Path, name: str, files: dict[str, str]) -> Path:
    module = name.replace("-", "_")
    package = folder / name / module
    package.mkdir(parents=True)
    (folder / name / "pyproject.toml").write_text(PYPROJECT.format(name=name, module=module))
    for file, text in {"__init__.py": "", **files}.items():
        (package / file).write_text(text)
    return folder / name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed a good plugin and three broken ones."""
    root = tmp_path_factory.mktemp("plugins")
    sources = [
        write_plugin(root, "zoo-mini", {"plugin.py": PLUGIN, "model.py": MODEL}),
        write_plugin(root, "zoo-broken", {"plugin.py": "import a_module_that_is_not_there"}),
        write_plugin(root, "zoo-exiting", {"plugin.py": "raise SystemExit(0)"}),
        write_plugin(root, "zoo-twin", {"plugin.py": PLUGIN.split("@hookimpl\ndef zoo_heads")[0]}),
    ]
    pip_install(*sources, root / "site")
    return root / "site"


def pip_install(*sources_and_target: Path) -> None:
    *sources, target = sources_and_target
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        target,
    ]
    subprocess.run([*command, *sources], check=True)


def test_a_third_party_plugin_is_listed_as_soon_as_pip_has_installed_it(zoo: Zoo, site: Path) -> None:
    here = {"PYTHONPATH": str(site), "ZOO_DISABLE_PLUGINS": "zoo-twin"}
    assert "mininet" not in zoo("list").stdout
    assert "mininet" in zoo("list", env=here).stdout
    assert "corner" in zoo("list", "heads", env=here).stdout
    assert "halves" in zoo("list", "strategies", env=here).stdout


def test_its_backbone_head_and_strategy_fine_tune_and_predict(zoo: Zoo, site: Path, photos: Path) -> None:
    here = {"PYTHONPATH": str(site), "ZOO_DISABLE_PLUGINS": "zoo-twin"}
    chosen = ("--backbone", "mininet", "--head", "corner", "--strategy", "halves", "--epochs", 4)
    trained = zoo("finetune", *chosen, "--data", photos, "--out", "run", env=here)
    assert trained.returncode == 0, trained.stderr
    assert (
        "2 epochs: head is trained; frozen: stem, body. Then 2 epochs: stem, body, head are trained" in trained.stderr
    )
    assert zoo("predict", "run", photos / "red" / "0.jpg", env=here).returncode == 0
    without = zoo("predict", "run", photos / "red" / "0.jpg")
    assert without.returncode == 1
    assert "needs 'mininet' from zoo-mini, which is not installed." in without.stderr
    assert "`pip install zoo-mini`" in without.stderr


def test_lines_that_a_plugin_prints_are_no_part_of_an_answer(zoo: Zoo, tmp_path: Path, photos: Path) -> None:
    """It prints where it is imported, in a hook, where the network is built and in every pass."""
    said = {"plugin.py": "said: imported", "hook": "said: hook", "built": "said: built", "pass": "said: pass"}
    plugin = PLUGIN.replace("    half = (", f"    print({said['hook']!r})\n    half = (")
    model = MODEL.replace("    body = nn.Seq", f"    print({said['built']!r})\n    body = nn.Seq")
    model = model.replace(
        "        return self.output(features_BCHW[",
        f"        print({said['pass']!r})\n        return self.output(features_BCHW[",
    )
    files = {"plugin.py": f"print({said['plugin.py']!r})\n{plugin}", "model.py": model}
    source = write_plugin(tmp_path, "zoo-mini", files)
    pip_install(source, tmp_path / "site")
    here = {"PYTHONPATH": str(tmp_path / "site")}
    chosen = ("--backbone", "mininet", "--head", "corner", "--epochs", 1, "--data", photos, "--out", "run", "--json")
    trained = zoo("finetune", *chosen, env=here)
    assert json.loads(trained.stdout)["epochs"]
    assert all(line in trained.stderr for line in said.values())
    assert json.loads(zoo("list", "--json", env=here).stdout)["backbones"]
    checked = zoo("plugin", "check", "zoo-mini", "--fast", env=here)
    assert "passed    zoo_mini.plugin: imports nothing heavy" in checked.stdout


def test_its_heads_and_strategies_work_in_every_command_and_in_the_library(
    zoo: Zoo, site: Path, tmp_path: Path
) -> None:
    """A head that needs the map's size, has options, its own loss and other tasks; core does not know it."""
    here = {"PYTHONPATH": str(site), "ZOO_DISABLE_PLUGINS": "zoo-twin"}
    planned = json.loads(zoo("plan", "--backbone", "lenet5", "--strategy", "halves", "--json", env=here).stdout)
    assert [phase["epochs"] for phase in planned["phases"]] == [5, 5]
    file = make_table(tmp_path / "photos", "path,warmth", lambda kind, number: f"{(kind == 'red') * 2.5}")
    chosen = ("--backbone", "lenet5", "--head", "grid:8", "--strategy", "halves", "--epochs", 2, "--image-size", 40)
    trained = zoo("finetune", *chosen, "--data", file, "--out", "run", "--json", env=here)
    assert trained.returncode == 0, trained.stderr
    answer = json.loads(trained.stdout)
    assert (answer["result"]["metric"], answer["result"]["loss"] > 1000) == ("r2", True), "its own loss was not used"
    measured = json.loads(zoo("evaluate", "run", "--json", env=here).stdout)
    assert measured["score"] == answer["result"]["score"]
    image = tmp_path / "photos" / "red" / "0.jpg"
    (predicted,) = json.loads(zoo("predict", "run", image, "--json", env=here).stdout)["predictions"]
    code = f"import zoo_core; print(zoo_core.load('run').predict([{str(image)!r}])[0].answers)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **here}, capture_output=True, text=True
    )
    assert loaded.stdout.strip() == str((("warmth", predicted["answers"][0]["value"]),)), loaded.stderr
    refused = zoo("finetune", *chosen, "--data", tmp_path / "photos", env=here)
    assert "the head 'grid' is for multilabel and regression, and the data ask for classification." in refused.stderr
    assert "Heads for it: centroid, corner, cosine, flatten, linear, logreg, mlp, prototype." in refused.stderr


def test_its_head_may_be_solved_rather_than_trained(zoo: Zoo, site: Path, photos: Path) -> None:
    here = {"PYTHONPATH": str(site), "ZOO_DISABLE_PLUGINS": "zoo-twin"}
    chosen = ("--backbone", "mininet", "--head", "centroid", "--strategy", "head-only", "--epochs", 5)
    trained = zoo("finetune", *chosen, "--data", photos, "--out", "run", "--json", env=here)
    assert trained.returncode == 0, trained.stderr
    answer = json.loads(trained.stdout)
    assert (len(answer["epochs"]), answer["result"]["accuracy"]) == (1, 1.0)


def test_a_broken_plugin_beside_it_is_named_and_skipped(zoo: Zoo, site: Path) -> None:
    answer = zoo("list", env={"PYTHONPATH": str(site)})
    assert answer.returncode == 0
    assert "the plugin zoo-broken was skipped: ModuleNotFoundError" in answer.stderr
    assert "the plugin zoo-exiting was skipped: SystemExit: 0" in answer.stderr
    table = zoo("plugins", env={"PYTHONPATH": str(site)}).stdout
    assert "zoo-broken" in table
    assert "No module named 'a_module_that_is_not_there'" in table


def test_two_plugins_with_one_name_are_both_named_and_either_can_be_chosen(zoo: Zoo, site: Path, photos: Path) -> None:
    here = {"PYTHONPATH": str(site)}
    clash = zoo("finetune", "--backbone", "mininet", "--data", photos, env=here)
    assert clash.returncode == 2
    assert "provided by zoo-mini and by zoo-twin. Choose one: 'zoo-mini:mininet' or" in clash.stderr
    chosen = zoo("finetune", "--backbone", "zoo-mini:mininet", "--data", photos, "--epochs", 1, env=here)
    assert chosen.returncode == 0, chosen.stderr


def test_a_plugin_that_comes_or_goes_is_noticed_though_the_list_of_them_is_kept(zoo: Zoo, tmp_path: Path) -> None:
    """Without the modification times of the folders in the index the second listing was that of the first."""
    here = {"PYTHONPATH": str(tmp_path / "site"), "ZOO_CACHE": str(tmp_path / "cache")}
    (tmp_path / "site").mkdir()
    assert "mininet" not in zoo("list", env=here).stdout
    assert list((tmp_path / "cache" / "plugins").iterdir()), "the list of plugins was not kept"
    source = write_plugin(tmp_path, "zoo-mini", {"plugin.py": PLUGIN, "model.py": MODEL})
    pip_install(source, tmp_path / "site")
    assert "mininet" in zoo("list", env=here).stdout
    for path in (tmp_path / "site").glob("zoo_mini*"):
        shutil.rmtree(path)
    assert "mininet" not in zoo("list", env=here).stdout
