"""The facts about the command `zoo report`."""

from __future__ import annotations

from zoo_core import CommandSpec, hookimpl

HOOK_API = 2


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="report",
            command="zoo_report.command:report",
            summary="Write one page about a run: result, errors with heat maps, doubtful labels, settings.",
        )
    ]
