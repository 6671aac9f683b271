"""The names of ImageNet's classes, which torchvision has, without importing torchvision."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from torchvision.models import ResNet18_Weights

from zoo_core.errors import ZooError
from zoo_core.predictors import class_names


@pytest.mark.parametrize("its_file_is_there", [True, False])
def test_they_are_torchvisions(its_file_is_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not its_file_is_there:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert class_names("imagenet-1k") == tuple(ResNet18_Weights.DEFAULT.meta["categories"])


def test_torchvision_is_not_imported_for_them() -> None:
    code = (
        "import sys; from zoo_core.predictors import class_names; print(len(class_names('imagenet-1k')),"
        " 'torchvision' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["1000", "False"]


def test_others_are_names_themselves_or_not_known() -> None:
    assert class_names(("a", "b")) == ("a", "b")
    with pytest.raises(ZooError, match="the class list 'pets' is not known"):
        class_names("pets")
