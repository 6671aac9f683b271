"""The conformance kit and the helpers that tests of plugins import.

import pytest
from zoo_core.testing import plugin_checks
from zoo_mynet import plugin

@pytest.mark.parametrize("check", plugin_checks(plugin), ids=str)
def test_conformance(check):
    check()
"""

from zoo_core.model.shapes import stage_shapes
from zoo_core.testing.check import Check
from zoo_core.testing.kit import backbone_checks, head_checks, plugin_checks, strategy_checks
from zoo_core.testing.networks import build, choice_of, difference_from, same_outputs, stir
from zoo_core.testing.photos import make_photos
from zoo_core.testing.sizes import ImageSizes, image_sizes
from zoo_core.testing.tracker_rules import tracked_run

__all__ = [
    "Check",
    "ImageSizes",
    "backbone_checks",
    "build",
    "choice_of",
    "difference_from",
    "head_checks",
    "image_sizes",
    "make_photos",
    "plugin_checks",
    "same_outputs",
    "stage_shapes",
    "stir",
    "strategy_checks",
    "tracked_run",
]
