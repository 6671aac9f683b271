"""Freeze plans as data, and the strategies that make them. Nothing here imports torch."""
