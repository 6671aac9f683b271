import pytest
from zoo_openvino import plugin

from zoo_core.testing import plugin_checks


@pytest.mark.parametrize("check", plugin_checks(plugin), ids=str)
def test_conformance(check):
    check()
