"""The control groups of Linux that this process is in, which may limit its memory and its cores."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def control_groups(top: Path, root: Path) -> set[Path]:
    """The folders under `top` of the groups of this process and those around them; `root` has the
    system's files.

    A container sees its own group as the outermost one, by whatever name the machine knows it.
    """
    paths = {"/"}
    with suppress(OSError, UnicodeDecodeError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        paths |= {line.split(":", 2)[2] for line in lines if line.count(":") > 1}
    inner = {top / path.strip("/") for path in paths}
    return {one for own in inner for one in (own, *own.parents) if one.is_relative_to(top)}
