"""Weights: found at their sources, verified, converted where they are pickles, loaded into a chain."""
