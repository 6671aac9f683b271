"""The facts about the command view. It is imported when it is called."""

from __future__ import annotations

from zoo_core import CommandSpec, hookimpl

HOOK_API = 2


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            name="view",
            command="zoo_view.command:view",
            summary="Show a network in 3D: its stages to scale, feature maps, what is frozen when.",
        )
    ]
