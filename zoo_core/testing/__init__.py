"""The conformance kit and the helpers that tests of plugins import.

import pytest
from zoo_core.testing import backbone_checks
from zoo_mynet import plugin

@pytest.mark.parametrize("check", backbone_checks(plugin), ids=str)
def test_conformance(check):
    check()
"""

from zoo_core.model.shapes import stage_shapes
from zoo_core.testing.conformance import Check, backbone_checks, build, choice_of, difference_from, same_outputs, stir
from zoo_core.testing.photos import make_photos

__all__ = [
    "Check",
    "backbone_checks",
    "build",
    "choice_of",
    "difference_from",
    "make_photos",
    "same_outputs",
    "stage_shapes",
    "stir",
]
