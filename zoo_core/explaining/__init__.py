"""Heat maps of the places in an image that speak for an answer, each with a check of its worth."""

METHODS = ("grad-cam", "hires-cam", "layer-cam")
"""The names of the ways to compute a map; the first is the default."""
