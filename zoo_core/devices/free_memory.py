"""The memory that processes can still take: on this machine, and in its container."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from zoo_core.devices.control_groups import control_groups

GROUPS = (
    # folder of the groups, limit, usage, cached files in memory.stat: cgroup v2, then v1
    ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory(root: Path = Path("/")) -> int | None:
    """The bytes that processes can still take, None on a system that does not say; `root` has its
    files.

    A group of processes, such as a container, may have a limit below the machine's (Linux kernel,
    admin-guide/cgroup-v2). Cached files count as free: they are dropped when memory is short.
    """
    found = []
    with suppress(OSError, ValueError, KeyError):
        found.append(1024 * _figures(root / "proc/meminfo")["MemAvailable:"])
    for top, limit, usage, cached in GROUPS:
        for group in control_groups(root / top, root):
            with suppress(OSError, ValueError):  # not there, or without a limit: "max"
                most, used = int((group / limit).read_text()), int((group / usage).read_text())
                with suppress(OSError, ValueError):
                    used -= _figures(group / "memory.stat").get(cached, 0)
                found.append(max(0, most - used))
    return min(found, default=None)


def _figures(file: Path) -> dict[str, int]:
    """Lines such as "MemAvailable:  8000 kB" as numbers by name."""
    words = [line.split() for line in file.read_text().splitlines()]
    return {own[0]: int(own[1]) for own in words if len(own) > 1}
