"""Imports go down only, torch waits, and core knows no architecture by name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zoo_core.specs import TASKS

CORE = Path(__file__).parents[2] / "zoo_core"
PLUGINS = Path(__file__).parents[2] / "plugins"
OLD_RUNS = Path(__file__).parents[1] / "golden" / "fixtures" / "runs"

# From the ground up, one name a floor. A module imports from its own floor and from those before it.
FLOORS = (
    "errors",
    "version",
    "options",
    "paths",
    "verified",
    "json_index",
    "json_checks",
    "csv_rows",
    "wording",
    "html_tables",
    "spec_checks",
    "layout",
    "weights_specs",
    "specs",
    "result_specs",
    "freezing",
    "training_hooks",
    "hookspecs",
    "augmentations",
    "builtin",
    "installed",
    "attribution",
    "discovery",
    "registry",
    "installing",
    "absent",
    "catalog",
    "settings",
    # from here down torch may be imported, and only here
    "devices",
    "tensors",
    "algebra",
    "drawing",
    "history",
    "tasks",
    "data",
    "model",
    "hubclient",
    "runs",
    "weights",
    "tiles",
    "frozen",
    "streaming",
    "training",
    "predict",
    "predictors",
    "answering",
    "hub",
    "notebook",
    "library",
    "run_images",
    "evaluation",
    "embedding",
    "checking",
    "explaining",
    "exporting",
    "profiling",
    "reporting",
    "saving",
    "benching",
    "choosing",
    "advising",
    "listing",
    "testing",
    "scaffold",
    # from here down torch waits again
    "cli",
    "__main__",
    "__init__",
)
LEVEL = {name: level for level, name in enumerate(FLOORS)}


def _floor(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module == "zoo_core":
            names = [f"zoo_core.{alias.name}" for alias in node.names if alias.name in LEVEL]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("zoo_core.")}
    return found


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(CORE)))
def test_a_module_imports_only_from_its_own_floor_and_below(path: Path) -> None:
    floor = _floor(path)
    assert floor in LEVEL, f"{floor} stands on no floor: add it to FLOORS"
    above = {name for name in _imports(path) if LEVEL[name] > LEVEL[floor]}
    assert not above, f"{path.name} imports {above}, which stand above it: move the code, or pass the thing down"


def test_every_module_and_package_has_a_floor_of_its_own() -> None:
    here = {_floor(path) for path in CORE.rglob("*.py")}
    assert (here - set(FLOORS), set(FLOORS) - here, len(FLOORS)) == (set(), set(), len(set(FLOORS)))


def test_only_a_task_knows_its_name() -> None:
    """Everything else asks the object that `task_named` gives, so that a task is one file."""
    found = []
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            branches = [*node.comparators, node.left] if isinstance(node, ast.Compare) else []
            branches += node.keys if isinstance(node, ast.Dict) else []
            branches += [node.pattern] if isinstance(node, ast.match_case) else []
            constants = [one for branch in branches if branch is not None for one in ast.walk(branch)]
            if any(isinstance(one, ast.Constant) and one.value in TASKS for one in constants):
                found.append(f"{path.relative_to(CORE)}:{getattr(node, 'lineno', '')}")
    assert not found, f"these lines branch on a task's name; give the tasks an attribute or a method: {found}"


@pytest.mark.parametrize(
    "statement",
    [
        "import zoo_core",
        "import zoo_core.catalog; zoo_core.catalog.open_catalog()",
        "import zoo_core.settings, zoo_core.freezing.strategies",
    ],
)
def test_what_stands_above_the_line_imports_nothing_heavy(statement: str) -> None:
    heavy = ("torch", "torchvision", "numpy", "matplotlib", "PIL", "huggingface_hub", "safetensors")
    code = f"import sys; {statement}; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["list", "strategies"], ["plugins"], ["--help"], ["finetune", "--help"], ["runs", str(OLD_RUNS)]],
    ids=lambda arguments: " ".join(arguments[:2]) if arguments[0] != "runs" else "runs",
)
def test_a_listing_command_never_imports_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom zoo_core.cli.main import main\n"
        f"sys.argv = ['zoo', *{arguments}]\n"
        "try:\n    main()\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr.strip().splitlines()[-1] == "False"
    assert answer.stdout


def test_no_architecture_is_named_in_core() -> None:
    names = r"resnet|vgg|alexnet|lenet|googlenet|inception|zfnet|efficientnet"
    # Examples for people, in help and docstrings, may name one; code may not.
    found = []
    for path in CORE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            name = getattr(node, "id", getattr(node, "name", getattr(node, "attr", ""))) or ""
            if id(node) not in docstrings and re.search(names, f"{text} {name}", re.IGNORECASE):
                found.append(f"{path.relative_to(CORE)}:{node.lineno}")
    assert not found, f"these lines name an architecture; make the difference a field of its spec: {found}"


def test_only_the_command_line_prints() -> None:
    found = [
        f"{path.relative_to(CORE)}:{node.lineno}"
        for path in CORE.rglob("*.py")
        if _floor(path) != "cli"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert not found, f"the library returns reports and raises errors; these lines print: {found}"


def test_nothing_is_unpickled_without_weights_only() -> None:
    found = []
    for path in [*CORE.rglob("*.py"), *PLUGINS.glob("*/src/**/*.py")]:
        text = path.read_text(encoding="utf-8")
        loads = re.findall(r"torch\.load\([^)]*\)", text)
        if re.search(r"\b(pickle|joblib|dill)\b\.load|^import pickle", text, re.MULTILINE) or any(
            "weights_only=True" not in load for load in loads
        ):
            found.append(str(path))
    assert not found
