"""A new plugin: a complete package, rendered from the templates in resources/scaffold."""

from zoo_core.scaffold.package import KINDS, NewPlugin, make_plugin

__all__ = ["KINDS", "NewPlugin", "make_plugin"]
