"""The conformance kit for plugin authors: what every backbone must do, as checks that a test calls.

import pytest
from zoo_core.testing import backbone_checks
from zoo_mynet import plugin

@pytest.mark.parametrize("check", backbone_checks(plugin), ids=str)
def test_conformance(check):
    check()
"""

from zoo_core.testing.conformance import Check, backbone_checks, choice_of, difference_from, same_outputs, stir

__all__ = ["Check", "backbone_checks", "choice_of", "difference_from", "same_outputs", "stir"]
