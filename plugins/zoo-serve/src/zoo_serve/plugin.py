"""The facts about the command serve. It is imported when it is called."""

from __future__ import annotations

from zoo_core import CommandSpec, hookimpl

HOOK_API = 2


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="serve",
            command="zoo_serve.command:serve",
            summary="Answer images over HTTP with a run or a pretrained backbone.",
        )
    ]
