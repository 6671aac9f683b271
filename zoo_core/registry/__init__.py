"""The known plugins, installed or not, as an index lists them. The folder registry/ makes the index
that zoo carries."""

from zoo_core.registry.entries import KnownPlugin, Release
from zoo_core.registry.index import Index, first_party, known_plugins, read_index, replace_index

__all__ = ["Index", "KnownPlugin", "Release", "first_party", "known_plugins", "read_index", "replace_index"]
