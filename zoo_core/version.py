"""The version of zoo-core, which packages, runs, cards and `zoo --version` take from here."""

__version__ = "0.2.0.dev0"

RESUMES = ("0.1.0",)
"""Versions whose interrupted runs this one finishes with the same bytes; tests/golden shows it."""
