"""`zoo completion SHELL`: the script that makes a shell complete zoo's commands and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

    \b
    echo 'eval "$(zoo completion bash)"' >> ~/.bashrc
    echo 'eval "$(zoo completion zsh)"' >> ~/.zshrc
    zoo completion fish > ~/.config/fish/completions/zoo.fish
    """
    from zoo_core.cli.main import zoo

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(zoo, {}, "zoo", "_ZOO_COMPLETE").source())
