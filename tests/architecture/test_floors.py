"""Imports go down only, torch waits, and core knows no architecture by name."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "zoo_core"
PLUGINS = Path(__file__).parents[2] / "plugins"

# From the ground up. A module may import from its own floor and from those before it.
FLOORS = (
    ("errors", "version"),
    ("options", "paths"),
    ("spec_checks",),
    ("specs",),
    ("hookspecs", "freezing"),
    ("builtin", "installed", "published"),
    ("discovery",),
    ("catalog", "settings"),
    ("devices",),
    ("tensors",),
    ("data",),
    ("tasks",),
    ("model",),
    ("hubclient",),
    ("runs",),
    ("weights",),
    ("frozen",),
    ("streaming",),
    ("training",),
    ("predict",),
    ("hub",),
    ("library",),
    ("evaluation",),
    ("saving",),
    ("cli", "__main__"),
    ("testing", "__init__"),
)
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}


def _floor(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
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
    "arguments", [["list"], ["list", "strategies"], ["plugins"], ["--help"], ["finetune", "--help"]]
)
def test_a_listing_command_never_imports_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom zoo_core.cli.main import main\n"
        f"sys.argv = ['zoo', *{arguments}]\n"
        "try:\n    main()\nfinally:\n    print('torch' in sys.modules, file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr.strip().splitlines()[-1] == "False"


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
