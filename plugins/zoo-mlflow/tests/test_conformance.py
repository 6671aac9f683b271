import pytest

pytest.importorskip(
    "zoo_mlflow", reason="zoo-mlflow is tested in an environment of its own (pytest -m whole tests/plugins)"
)

from zoo_mlflow import plugin

from zoo_core.testing import plugin_checks


@pytest.mark.parametrize("check", plugin_checks(plugin), ids=str)
def test_conformance(check):
    check()
