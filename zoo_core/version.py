"""The version of zoo-core."""

__version__ = "0.1.0"
