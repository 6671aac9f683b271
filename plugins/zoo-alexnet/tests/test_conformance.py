import pytest
from zoo_alexnet import plugin

from zoo_core.testing import plugin_checks


@pytest.mark.parametrize("check", plugin_checks(plugin, slow=False), ids=str)
def test_conformance(check):
    check()
