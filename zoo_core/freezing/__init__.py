"""Freeze plans as data, and the strategies that make them. No torch here."""
