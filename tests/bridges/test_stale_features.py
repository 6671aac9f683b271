"""Cached features of a bridged network are of the code that cut it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from zoo_core.catalog import Catalog
from zoo_core.frozen.code import code_digest, source_names
from zoo_core.testing import build


def test_cached_features_are_stale_when_the_code_that_cuts_has_changed(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: the classes of timm's stages named a module that imports none of those that cut."""
    names = source_names(build(catalog.backbone("timm-resnet10t").spec).split()[0])
    before = code_digest(names)
    assert code_digest(names) == before
    for module in ("cutting", "instances", "model", "reading", "syntax"):
        with monkeypatch.context() as changed:
            changed.setattr(sys.modules[f"zoo_timm.{module}"], "__file__", str(tmp_path / "changed.py"))
            assert code_digest(names) != before, module
