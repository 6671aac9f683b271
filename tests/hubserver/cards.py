"""The YAML at the top of a README: read, and turned into the tags that the Hub lists a model under."""

import importlib
import re
from collections.abc import Mapping
from typing import Any

# PyYAML comes with huggingface_hub. It is imported by name because it ships no types.
yaml: Any = importlib.import_module("yaml")

FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)^---\s*$", re.DOTALL | re.MULTILINE)
PLAIN_TAGS = ("tags", "library_name", "pipeline_tag")
PREFIXED_TAGS = {"license": "license", "datasets": "dataset", "base_model": "base_model"}


def read_card(text: str) -> dict[str, Any]:
    """Returns the metadata of a model card, {} where it has none. Raises ValueError for broken YAML."""
    found = FRONT_MATTER.match(text)
    if found is None:
        return {}
    try:
        metadata = yaml.safe_load(found.group(1))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise ValueError("the metadata must be a mapping")
    return metadata


def tags_of(card: Mapping[str, Any]) -> list[str]:
    """Returns the tags that a card's metadata stands for, such as 'license:mit'."""
    tags = [value for key in PLAIN_TAGS for value in as_list(card.get(key))]
    for key, prefix in PREFIXED_TAGS.items():
        tags += [f"{prefix}:{value}" for value in as_list(card.get(key))]
    return list(dict.fromkeys(tags))


def as_list(value: object) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
