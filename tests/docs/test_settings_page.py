"""docs/settings.md follows from the declarations of the settings."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from zoo_core.settings import FinetuneConfig, read_settings
from zoo_core.settings.fields import settings_of

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "settings.md").read_text(encoding="utf-8")
SETTINGS = settings_of(FinetuneConfig)


def test_the_page_is_the_one_that_the_declarations_make() -> None:
    made = runpy.run_path(str(DOCS / "make_settings.py"))["page"]()
    assert made == TEXT, "run: python docs/make_settings.py"


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_has_one_row_with_its_values_default_and_help(name: str) -> None:
    declared = SETTINGS[name]
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `--{declared.option}`")]
    for text in (declared.accepts, declared.default_text, declared.description):
        assert text in row.replace("\\|", "|")


def test_the_config_file_of_the_page_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    file = tmp_path / "run.toml"
    file.write_text(block)
    config = FinetuneConfig.from_dict(read_settings(file))
    assert config == FinetuneConfig(backbone="resnet50", data="photos/", strategy="last:2", batch_size=64, size=224)
