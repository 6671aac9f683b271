"""The pages of the documentation as the tests read them: blocks of code, links, headings."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
TUTORIAL = ROOT / "docs" / "guides" / "write-a-plugin.md"
DOCUMENTS = [
    README,
    CONTRIBUTING,
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "registry")),
    *sorted(ROOT.glob("plugins/*/README.md")),
]


def blocks(path: Path) -> list[tuple[str, str]]:
    """The blocks of code, each with its language."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def prose(path: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(path: Path) -> list[str]:
    """The targets of links and pictures that lead to files or headings here."""
    targets = re.findall(r"\]\(([^()\s]+)\)", re.sub(r"(?<!\[)`[^`\n]*`", "", prose(path)))
    return [target for target in targets if not re.match(r"\w+:", target)]


def anchors(path: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    texts = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-") for text in texts}
