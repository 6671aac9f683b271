"""Checks of a data set before any training: broken files, duplicates, leakage, suspected labels,
odd images, and classes too small to measure."""
