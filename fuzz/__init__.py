"""Damages good files by chance and gives them to zoo's readers: `python -m fuzz --seconds 60`."""
