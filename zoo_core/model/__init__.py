"""The model: a chain of named stages, a head, and the freeze plans applied to both."""
