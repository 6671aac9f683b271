"""Weights: fetched from their sources, verified, converted to safetensors, loaded into a chain."""
