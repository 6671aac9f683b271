"""One place knows what a device can do: all others ask it, and name none."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2] / "zoo_core"
NAMES = re.compile(r"cuda|\bmps\b|\bxpu\b|device\.type [!=]=", re.IGNORECASE)


def test_only_the_place_of_devices_and_the_texts_of_options_name_one() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted(ROOT.rglob("*.py"))
        if path.parent.name != "devices"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if NAMES.search(line) and "help=" not in line and not line.strip().startswith('"CU')  # texts of errors
    ]
    assert found == []
