"""The version of zoo-core, which packages, runs, cards and `zoo --version` take from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__version__ = "0.2.0.dev1"

RESUMES = ("0.1.0", "0.2.0.dev0")
"""Versions whose interrupted runs this one finishes with the same bytes; tests/golden shows it of the
first."""


def version_text() -> str:
    """The version; in a checkout, where one version stands for many programs, with a digest of its
    Python files."""
    from pathlib import Path

    package = Path(__file__).parent
    in_checkout = (package.parent / "pyproject.toml").is_file()
    return f"{__version__} (source {source_digest(package)})" if in_checkout else __version__


def source_digest(package: Path) -> str:
    """12 hex digits of the sha256 over the paths and contents of a package's Python files."""
    import hashlib

    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]
