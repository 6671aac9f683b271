import sys
from importlib.metadata import entry_points

import pytest
from click.testing import CliRunner


@pytest.fixture
def called():
    """Calls the command zoo in this process."""

    def called(*arguments):
        """The output of the command in this process. Raises the command's errors."""
        main = next(one for one in entry_points(group="console_scripts") if one.name == "zoo").load()
        done = CliRunner().invoke(sys.modules[main.__module__].zoo, [str(one) for one in arguments])
        if done.exception is not None:
            raise done.exception
        return done.output

    return called
