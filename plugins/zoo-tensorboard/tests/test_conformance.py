import pytest
from zoo_tensorboard import plugin

from zoo_core.testing import plugin_checks


@pytest.mark.parametrize("check", plugin_checks(plugin), ids=str)
def test_conformance(check):
    check()
